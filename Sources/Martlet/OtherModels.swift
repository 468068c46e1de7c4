import Foundation
import MartletEngine
import MartletKernels
import MartletMachine
import MartletModel
import MartletScaling
import Synchronization

/// Models that scorers and strategies open beside a session's own: each once, kept until the session
/// goes. They share its threads, which take turns.
final class OtherModels: Sendable {
  /// Files that are installed with Martlet lie in the resources under this suffix.
  private static let suffix = ".gguf"

  private let team: ThreadTeam
  private let numericClass: NumericClass
  private let packCache: PackCacheOptions
  private let byteLimit: Int
  private let opened = Mutex<[String: OpenedModel]>([:])

  /// - Parameter byteLimit: the most bytes of keys and values that one of them holds.
  init(
    team: ThreadTeam, numericClass: NumericClass, packCache: PackCacheOptions, byteLimit: Int
  ) {
    self.team = team
    self.numericClass = numericClass
    self.packCache = packCache
    self.byteLimit = byteLimit
  }

  /// The model in a file, or of a name.
  /// - Throws: `notFound` for a file or name that is not there, `engine` for one that cannot be
  ///   opened.
  func open(_ name: String) throws(ScalingError) -> OpenedModel {
    let path = try Self.path(of: name)
    // Under the lock: two runs that ask at once get one model.
    let result = opened.withLock { opened -> Result<OpenedModel, ScalingError> in
      if let known = opened[path] { return .success(known) }
      do {
        let model = try load(path)
        opened[path] = model
        return .success(model)
      } catch let error as EngineError {
        return .failure(ScalingError(.argument, "\(path): \(error.message)"))
      } catch {
        return .failure(ScalingError(.argument, "\(error)"))
      }
    }
    return try result.get()
  }

  private func load(_ path: String) throws -> OpenedModel {
    let model = try TransformerModel.shared(
      path: path, numericClass: numericClass, team: team, packCache: packCache)
    let tokenizer = try Tokenizer(metadata: model.metadata)
    let backend = try TransformerBackend(
      parts: TransformerParts(model: model, tokenizer: tokenizer), team: team)
    var limits = EngineConfiguration()
    limits.kvBytesLimit = byteLimit
    return OpenedModel(
      engine: try Engine(backend: backend, configuration: limits),
      surroundings: ModelSurroundings(model, tokenizer))
  }

  /// A name has no slash; what has one, or ends as files do, is a file.
  private static func path(of name: String) throws(ScalingError) -> String {
    if name.contains("/") || name.hasSuffix(suffix) {
      guard FileManager.default.fileExists(atPath: name) else {
        throw ScalingError(.notFound, "there is no model file \(name)")
      }
      return URL(fileURLWithPath: name).standardizedFileURL.path
    }
    guard let path = EmbeddedModel.path(of: name) else {
      throw ScalingError(
        .notFound,
        "no model named '\(name)' is installed with Martlet; name a GGUF file by its path")
    }
    return path
  }
}

extension ModelSurroundings {
  /// What a model file says of itself.
  init(_ model: TransformerModel, _ tokenizer: Tokenizer) {
    self.init(parameters: model.parameterCount)
    guard
      let source = try? model.metadata.optionalString("tokenizer.chat_template")
    else { return }
    chat = { prompt in try RenderedPrompt(user: prompt, template: source, tokenizer: tokenizer) }
  }
}

extension RenderedPrompt {
  /// A user's message in a chat template's form.
  /// - Throws: `ModelError` for a template that cannot be read or rendered.
  init(user message: String, template source: String, tokenizer: Tokenizer) throws {
    func written(_ token: Token?) -> String {
      guard let token else { return "" }
      return String(decoding: tokenizer.bytes(of: token, renderSpecial: true), as: UTF8.self)
    }
    let bos = written(tokenizer.bosToken)
    let rendered = try ChatTemplate(source: source).render(
      messages: [ChatMessage(role: "user", content: message)], addGenerationPrompt: true,
      bos: bos, eos: written(tokenizer.eosToken))
    // Special tokens come written out. Many templates leave out the one that begins a sequence.
    self.init(
      text: rendered, addSpecial: bos.isEmpty || !rendered.hasPrefix(bos), parseSpecial: true)
  }
}
