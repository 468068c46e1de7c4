public import Foundation
import Logging
import MartletEngine
import Synchronization

/// A recorded run whose decisions can be taken again, by the same strategy or another, without the model.
///
/// ```swift
/// let replay = try Replay(contentsOf: "run.json")
/// let result = try await replay.run { $0.budget.tokens = 200 }
/// ```
///
/// A strategy draws what the recorded run drew wherever it stands where that run stood: on the same branch path and
/// epoch, after the same text, under the same sampling rules. So the result is that of a fresh run with the model, bit
/// for bit in everything but time, as long as no branch goes on where none was recorded; there the run ends with the
/// best answer so far and ``RunResult/StopCause/notRecorded``. Fewer samples, smaller budgets, other thresholds,
/// scorers, extractors and ways to choose are all defined; more samples than were drawn are not.
public struct Replay: Sendable {
  /// The model's name in results.
  public var model: String { document.name }
  /// The strategy of the recorded run.
  public var strategy: String { document.request.strategy }

  private let document: ReplayDocument
  private let plugins: PluginHost

  /// Reads a trace that ``TraceRecorder/write(to:result:)`` wrote.
  /// - Parameter plugins: where strategies, scorers and extractors come from.
  /// - Throws: `file` for a file that cannot be read, is no trace, or holds a run that cannot be replayed.
  public init(
    contentsOf path: String, plugins: PluginHost = PluginHost()
  ) throws(ScalingError) {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ScalingError(.file, "the trace \(path) cannot be read")
    }
    try self.init(data, name: path, plugins: plugins)
  }

  /// Reads a trace from memory; `name` stands for it in messages.
  public init(
    _ data: Data, name: String = "the trace", plugins: PluginHost = PluginHost()
  ) throws(ScalingError) {
    let found: ReplayDocument?
    do {
      found = try Self.decoder.decode(RecordedTrace.self, from: data).otherData.replay
    } catch {
      throw ScalingError(.file, "\(name) is no trace of a run: \(error)")
    }
    guard let found, found.model != nil else {
      throw ScalingError(
        .file, "\(name) holds no recorded draws; write it with 'martlet run --trace'")
    }
    guard found.schema == ReplayDocument.schema else {
      throw ScalingError(
        .file,
        "\(name) holds a recording of version \(found.schema); this program reads \(ReplayDocument.schema)"
      )
    }
    if let obstacle = found.obstacle {
      throw ScalingError(.file, "\(name) cannot be replayed: \(obstacle)")
    }
    document = found
    self.plugins = plugins
  }

  /// Takes the run's decisions again.
  /// - Parameters:
  ///   - change: changes the recorded request: another strategy, options, scorer, extractor or budget. The prompt,
  ///     the seed and the sampling rules are those of the recorded draws.
  ///   - trace: records the replay.
  /// - Throws: as ``ScalingSession/run(_:trace:onText:onAnswer:)``.
  public func run(
    trace: TraceRecorder? = nil, _ change: (inout RunRequest) throws -> Void = { _ in }
  ) async throws -> RunResult {
    let judgements = document.judgements
    // A text that the recorded judge never saw ends the replay.
    var request = try document.request.again { judgements[$0.text] ?? .nan }
    let recorded = request
    try change(&request)
    (request.prompt, request.renderedPrompt) = (recorded.prompt, recorded.renderedPrompt)
    (request.seed, request.sampling) = (recorded.seed, recorded.sampling)
    (request.sampler, request.samplerOptions) = (recorded.sampler, recorded.samplerOptions)
    (request.memory, request.memoryOptions) = (recorded.memory, [:])
    request.recordedMemory = document.memory.map { RecordedMemory($0) }
    (request.drafting, request.guidance, request.constraint) = (.off, nil, nil)
    return try await session().run(request, trace: trace)
  }

  private func session() throws -> ScalingSession {
    // Nothing is drawn ahead of a decision: what the recorded run drew ahead depended on time.
    let limits = EngineConfiguration(
      kvBytesLimit: document.kvBytesLimit ?? EngineConfiguration().kvBytesLimit, overrun: 0)
    let engine = try Engine(backend: ReplayBackend(document.model!), configuration: limits)
    var surroundings = ModelSurroundings(
      chat: chat(of: "", document.hasChat), parameters: document.parameters)
    surroundings.attention = document.attention
    let others = Dictionary(document.others.map { ($0.name, $0) }) { first, _ in first }
    let opened = OpenedOnce()
    surroundings.open = { name throws(ScalingError) in
      guard let other = others[name] else {
        throw ScalingError(.notFound, "the recorded run opened no model '\(name)'")
      }
      return try opened.model(name) { () throws(EngineError) in
        OpenedModel(
          engine: try Engine(backend: ReplayBackend(other.said), configuration: limits),
          surroundings: ModelSurroundings(
            chat: chat(of: name, other.hasChat), parameters: other.parameters))
      }
    }
    return ScalingSession(
      engine: engine, plugins: plugins, model: document.name, defaults: document.defaults,
      surroundings: surroundings, kvBytesLimit: document.kvBytesLimit)
  }

  private func chat(
    of model: String, _ exists: Bool
  ) -> (@Sendable (String) throws -> RenderedPrompt)? {
    guard exists else { return nil }
    let known = document.chats.filter { $0.model == model }
    return { message in
      guard let chat = known.first(where: { $0.message == message }) else {
        throw ScalingError(
          .argument, "the recorded run never wrote '\(message.prefix(60))' in the chat format")
      }
      return chat.rendered
    }
  }

  static let decoder: JSONDecoder = {
    let decoder = JSONDecoder()
    decoder.readAllFloats()
    return decoder
  }()
}

/// The part of a trace file that a replay reads.
private struct RecordedTrace: Decodable {
  let otherData: Other

  struct Other: Decodable {
    let replay: ReplayDocument?
  }
}

/// Models opened once each.
private final class OpenedOnce: Sendable {
  private let opened = Mutex<[String: OpenedModel]>([:])

  func model(
    _ name: String, _ open: () throws(EngineError) -> OpenedModel
  ) throws(ScalingError) -> OpenedModel {
    if let known = opened.withLock({ $0[name] }) { return known }
    do throws(EngineError) {
      let model = try open()
      opened.withLock { $0[name] = model }
      return model
    } catch {
      throw ScalingError(error)
    }
  }
}
