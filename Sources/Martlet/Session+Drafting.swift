import Logging
import MartletEngine
import MartletModel
import MartletScaling

extension Session {
  /// A kind of drafting with what computes its guesses opened: a model's file loaded, layers found.
  /// Each is opened once per session.
  ///
  /// A draft model computes with the session's threads and numeric class and holds keys and values of
  /// its own, at most an eighth of what the engine may hold.
  ///
  /// - Throws: `ModelError` for the file, also where its vocabulary is another than this model's;
  ///   `EngineError`.
  public func opened(_ drafting: Drafting) throws -> Drafting {
    guard let model = drafting.model, drafting.drafter == nil else { return drafting }
    var opened = drafting
    if let known = drafters.withLock({ $0[model] }) {
      opened.drafter = known
    } else {
      let drafter = try makeDrafter(model, for: engine)
      drafters.withLock { $0[model] = drafter }
      opened.drafter = drafter
    }
    return opened
  }

  /// A drafter for another engine on this session's model and threads.
  public func makeDrafter(
    _ model: Drafting.Model, for engine: Engine
  ) throws -> any Drafter {
    switch model {
    case .plugin(let id): return try PluginDrafter(id, plugins: plugins)
    case .medusa(let path), .eagle(let path): return try makeHeads(model, path, for: engine)
    case .file, .selfSkipping, .earlyExit: return try makeDrafter(model, nil, for: engine)
    case .ranked(let inner, let vocabulary):
      return try makeDrafter(inner, vocabulary.tokens(of: engine), for: engine, name: model.name)
    }
  }

  /// A drafter that is a model or a part of this one, with logits for `tokens` alone, nil for all.
  private func makeDrafter(
    _ model: Drafting.Model, _ tokens: [Token]?, for engine: Engine, name: String? = nil
  ) throws -> any Drafter {
    let name = name ?? model.name
    if case .file(let path) = model {
      return try ModelDrafter(
        name: name, backend: openSmall(path, tokens: tokens), byteLimit: draftBytesLimit)
    }
    let whole = try transformer(of: engine)
    var layers = 0..<0 as Range<Int>
    if case .earlyExit(let count) = model {
      guard count < whole.layers.count else {
        throw EngineError(
          .argument,
          "\(name): \(whole.name) has \(whole.layers.count) layers; an early exit uses fewer")
      }
      layers = 0..<count
    }
    let output = try tokens.map {
      (weights: try self.model.packedOutput(of: $0, team: team), tokens: $0)
    }
    let part = try whole.part(
      layers: layers.isEmpty ? engine.selfDraftLayers() : Array(layers), output: output)
    return try ModelDrafter(name: name, backend: part, sharesPages: true)
  }

  private func transformer(of engine: Engine) throws(EngineError) -> TransformerBackend {
    guard let whole = engine.backend as? TransformerBackend else {
      throw EngineError(.argument, "\(engine.backend.name) cannot be drafted for by a model")
    }
    return whole
  }

  /// A small model beside the session's own, with its threads and numeric class; with logits for
  /// `tokens` alone, nil for all.
  func openSmall(_ path: String, tokens: [Token]? = nil) throws -> TransformerBackend {
    let small = try TransformerModel.shared(
      path: path, numericClass: numericClass, team: team, packCache: packCache)
    let tokenizer = try Tokenizer(metadata: small.metadata)
    try requireSameVocabulary(tokenizer, of: path)
    var parts = TransformerParts(model: small, tokenizer: tokenizer)
    if let tokens {
      let known = tokens.filter { Int($0) < small.configuration.vocabularySize }
      (parts.output, parts.outputTokens) = (try small.packedOutput(of: known, team: team), known)
    }
    return try TransformerBackend(parts: parts, team: team)
  }

  /// Heads that were trained for this model, which keeps its hidden states from now on.
  private func makeHeads(
    _ model: Drafting.Model, _ path: String, for engine: Engine
  ) throws -> any Drafter {
    let whole = try transformer(of: engine)
    let heads = try DraftHeads.load(path: path, base: self.model, team: team)
    let asksForMedusa = if case .medusa = model { true } else { false }
    let drafter: any Drafter
    switch heads {
    case .medusa(let heads) where asksForMedusa:
      drafter = try MedusaDrafter(
        name: model.name,
        forward: MedusaForward(
          heads: heads, output: self.model.output, team: team, maximumRows: 64), target: whole)
    case .eagle(let head) where !asksForMedusa:
      let forward = try EagleForward(
        head: head, base: TransformerParts(model: self.model, tokenizer: engine.tokenizer),
        team: team)
      drafter = try ModelDrafter(
        name: model.name, eagle: forward, target: whole, byteLimit: draftBytesLimit)
    case .medusa, .eagle:
      throw EngineError(
        .argument,
        "\(path) holds \(asksForMedusa ? "an EAGLE head" : "Medusa heads"); write "
          + "\(asksForMedusa ? "eagle" : "medusa")=\(path)")
    }
    try engine.keepHiddenStates(byteLimit: draftBytesLimit)
    if let trained = heads.baseFingerprint, trained != self.model.fingerprint {
      Logger(label: "martlet.session").info(
        "\(path) was trained for the model \(trained), not \(self.model.fingerprint): guesses may be worse"
      )
    }
    return drafter
  }

  /// Throws unless the tokens that both have mean the same; vocabularies that are padded at their end
  /// differ in length alone.
  private func requireSameVocabulary(_ other: any TokenCodec, of path: String) throws {
    let own = engine.tokenizer
    for token in 0..<Token(min(own.vocabularySize, other.vocabularySize))
    where other.bytes(of: token, renderSpecial: true) != own.bytes(of: token, renderSpecial: true) {
      throw ModelError(
        .unsupported,
        "token \(token) is '\(other.text(of: [token]))' in \(path) and '\(own.text(of: [token]))' in "
          + "\(self.model.path): a model that drafts or guides needs the other's vocabulary")
    }
  }
}
