import MartletModel

/// Where a run's second rows come from, once everything about them is known to fit.
enum GuidanceSource {
  /// A lane of its own per branch, on this prompt.
  case prompt([Token])
  /// Rows of the branches' own lanes, after some of the layers.
  case exit(layers: Int)
  /// A weaker model on the branches' own tokens.
  case model(AmateurModel)

  /// What `guidance` asks for on `backend` for a run on `prompt`.
  ///
  /// Throws ``EngineError/Code/argument`` for what the backend cannot do and
  /// ``EngineError/Code/context`` for a prompt that does not fit.
  init(
    _ guidance: Guidance, prompt: [Token], core: EngineCore
  ) throws(EngineError) {
    let backend = core.backend
    func own(_ tokens: [Token]) throws(EngineError) -> GuidanceSource {
      guard !tokens.isEmpty else {
        throw EngineError(.argument, "the prompt of guidance has no tokens; give at least one")
      }
      guard tokens.count <= core.contextLength else {
        throw EngineError(
          .context,
          "the prompt of guidance has \(tokens.count) tokens but the context of \(backend.name) "
            + "holds \(core.contextLength); shorten it")
      }
      try core.checkVocabulary(tokens, what: "the prompt of guidance")
      return .prompt(tokens)
    }
    switch guidance.reference {
    case .prompt(let tokens): self = try own(tokens)
    case .text(let text):
      let tokens = core.codec.encode(text, addSpecial: true, parseSpecial: false)
      self = try own(tokens.isEmpty ? prompt.suffix(1) : tokens)
    case .exit(let layers):
      guard (1...max(1, backend.mostExitLayers)).contains(layers), backend.mostExitLayers > 0 else {
        throw EngineError(
          .argument,
          backend.mostExitLayers > 0
            ? "an early exit after \(layers) layers: \(backend.name) can leave after 1 to "
              + "\(backend.mostExitLayers)"
            : "\(backend.name) has no early exits to be guided by")
      }
      self = .exit(layers: layers)
    case .model(let model):
      try model.check(for: backend)
      guard prompt.count <= model.contextLength else {
        throw EngineError(
          .context,
          "the prompt has \(prompt.count) tokens but the context of \(model.name), which guides, "
            + "holds \(model.contextLength); shorten the prompt")
      }
      self = .model(model)
    case .file(let path):
      throw EngineError(.argument, "guidance by \(path): the file is not opened")
    }
  }

  /// The prompt of companion lanes.
  var prompt: [Token]? {
    if case .prompt(let tokens) = self { tokens } else { nil }
  }

  var exitLayers: Int {
    if case .exit(let layers) = self { layers } else { 0 }
  }

  var model: AmateurModel? {
    if case .model(let model) = self { model } else { nil }
  }

  /// The most tokens of a branch, its prompt of `promptCount` included.
  func contextLength(_ core: EngineCore, promptCount: Int) -> Int {
    switch self {
    case .prompt(let tokens): core.contextLength - max(0, tokens.count - promptCount)
    case .exit: core.contextLength
    case .model(let model): min(core.contextLength, model.contextLength)
    }
  }

  /// How often a branch's token, drawn or appended, is read for guidance.
  var readingsPerToken: Int {
    if case .exit = self { 0 } else { 1 }
  }

  /// How often a token of a prompt is that was opened beside the run's.
  var readingsPerOpenedToken: Int { model == nil ? 0 : 1 }

  /// Tokens read for guidance alone, of a run with these statistics; rows of early exits are no
  /// tokens of their own.
  func tokens(_ statistics: RunStatistics, promptCount: Int) -> Int {
    switch self {
    case .prompt(let tokens):
      tokens.count + statistics.promptTokens - promptCount + statistics.generatedTokens
    case .exit: 0
    case .model: statistics.promptTokens + statistics.generatedTokens
    }
  }
}
