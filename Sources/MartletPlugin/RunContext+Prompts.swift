import CMartlet

/// How a prompt is put to a model.
public enum PromptForm: UInt32, Sendable {
  /// As it stands.
  case plain = 0
  /// As one user's message in the model's chat format, if it has one.
  case chat = 1
}

/// A model beside the run's own, for scorers.
public struct Model {
  let handle: martlet_model
}

extension RunContext {
  /// What the user asked.
  public func prompt() throws(PluginError) -> String {
    try table.readText("prompt") { buffer, capacity, needed in
      table.host.pointee.prompt?(table.run, buffer, capacity, needed)
    }
  }

  /// Opens a branch on another prompt: for a judge, a critic, another way to ask. It costs prompt
  /// tokens and shares the run's seed, sampling rules, stops and budget.
  public func open(_ prompt: String, as form: PromptForm = .plain) throws(PluginError) -> Branch {
    var branch: martlet_branch?
    let status = prompt.withCharacters { characters, count in
      table.host.pointee.open?(table.run, characters, count, form.rawValue, &branch)
    }
    try table.check(status, "open")
    return try table.branches([branch], "open")[0]
  }

  /// Opens another model, once per process: a GGUF file by path, or one installed with Martlet by
  /// name.
  /// - Throws: `notFound`, `memory`, `unsupported`.
  public func model(_ name: String) throws(PluginError) -> Model {
    var handle: martlet_model?
    try table.check(table.host.pointee.model?(table.run, name, &handle), "model")
    guard let handle else { throw PluginError(.internal, "model: the host gave no handle") }
    return Model(handle: handle)
  }

  /// Opens a branch on another model. What it processes counts as scored tokens.
  public func open(
    _ prompt: String, on model: Model, as form: PromptForm = .plain
  ) throws(PluginError) -> Branch {
    var branch: martlet_branch?
    let status = prompt.withCharacters { characters, count in
      table.host.pointee.open_on?(
        table.run, model.handle, characters, count, form.rawValue, &branch)
    }
    try table.check(status, "open_on")
    return try table.branches([branch], "open_on")[0]
  }

  /// The ids of a text, without special tokens.
  public func tokens(of text: String) throws(PluginError) -> [Int32] {
    var text = text
    text.makeContiguousUTF8()
    return try table.read("tokenize", Int32(0)) { buffer, capacity, needed in
      text.withCharacters { characters, count in
        table.host.pointee.tokenize?(table.run, characters, count, buffer, capacity, needed)
      }
    }
  }

  /// The text of token ids.
  public func text(of tokens: [Int32]) throws(PluginError) -> String {
    try table.readText("detokenize") { buffer, capacity, needed in
      table.host.pointee.detokenize?(
        table.run, tokens, tokens.count, buffer, capacity, needed)
    }
  }
}
