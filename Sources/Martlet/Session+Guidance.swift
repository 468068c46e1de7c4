import MartletEngine
import MartletModel

extension Session {
  /// Guidance with the weaker model it names loaded, once per session.
  ///
  /// That model computes with the session's threads and numeric class and holds keys and values of its
  /// own, at most an eighth of what the engine may hold.
  ///
  /// - Throws: `ModelError` for the file, also where its vocabulary is another than this model's;
  ///   `EngineError`.
  public func opened(_ guidance: Guidance) throws -> Guidance {
    guard case .file(let path) = guidance.reference else { return guidance }
    var opened = guidance
    if let known = amateurs.withLock({ $0[path] }) {
      opened.reference = .model(known)
    } else {
      let model = try AmateurModel(
        name: path, backend: openSmall(path), byteLimit: draftBytesLimit)
      amateurs.withLock { $0[path] = model }
      opened.reference = .model(model)
    }
    return opened
  }
}
