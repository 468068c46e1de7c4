import MartletEngine
import MartletModel

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
    guard let whole = engine.backend as? TransformerBackend else {
      throw EngineError(.argument, "\(engine.backend.name) cannot be drafted for by a model")
    }
    switch model {
    case .file(let path):
      let small = try TransformerModel.load(
        path: path, numericClass: numericClass, team: team, packCache: packCache)
      let backend = try TransformerBackend(model: small, team: team)
      try requireSameVocabulary(backend.tokenizer, of: path)
      return try ModelDrafter(
        name: model.name, backend: backend, byteLimit: draftBytesLimit)
    case .selfSkipping:
      return try ModelDrafter(
        name: model.name, backend: whole.part(layers: engine.selfDraftLayers()),
        sharesPages: true)
    case .earlyExit(let layers):
      guard layers < whole.layers.count else {
        throw EngineError(
          .argument,
          "\(model.name): \(whole.name) has \(whole.layers.count) layers; an early exit uses fewer")
      }
      return try ModelDrafter(
        name: model.name, backend: whole.part(layers: Array(0..<layers)), sharesPages: true)
    case .medusa, .eagle:
      throw EngineError(.argument, "\(model.name): heads are not supported yet")
    }
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
          + "\(self.model.path): a draft model needs the vocabulary of the model it drafts for")
    }
  }
}
