import Foundation
public import MartletEngine
import Synchronization

/// Records what happens in a run and writes it in the Chrome trace format, which Perfetto opens.
///
/// One track shows the forward passes, one the strategy, and one each branch: its advances, its
/// tokens with log-probabilities, its drafts with how much of each came true, and an arrow from the
/// branch it was forked from.
public final class TraceRecorder: EngineObserver {
  private let items = Mutex<[Item]>([])
  private let decode: @Sendable (Int32) -> String
  /// What a replay needs.
  package let recording = RunRecording()

  enum Item {
    case engine(EngineTraceEvent)
    case strategy(nanoseconds: UInt64, name: String, source: String, details: [String: JSONValue])
  }

  /// A recorder for one run.
  /// - Parameter decode: the text of a token, to label it with.
  public init(decode: @escaping @Sendable (Int32) -> String = { "\($0)" }) {
    self.decode = decode
  }

  public func record(_ event: EngineTraceEvent) { items.withLock { $0.append(.engine(event)) } }

  /// Records an instant event of a component or of the host.
  func note(_ name: String, by source: String, _ details: [String: JSONValue]) {
    let item = Item.strategy(
      nanoseconds: Self.now(), name: name, source: source, details: details)
    items.withLock { $0.append(item) }
  }

  /// The trace as one JSON object.
  /// - Parameter result: what the run gave; it stands beside the events.
  public func json(result: RunResult? = nil) throws(ScalingError) -> Data {
    var document = TraceDocument(decode: decode)
    for item in items.withLock({ $0 }) { document.add(item) }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.writeAllFloats()
    do {
      return try encoder.encode(document.file(result: result, replay: recording.document))
    } catch {
      throw ScalingError(.file, "the trace cannot be written as JSON: \(error)")
    }
  }

  /// Writes the trace. A regular file appears whole or not at all; a FIFO or device is written to.
  /// - Throws: `file` naming the path.
  public func write(to path: String, result: RunResult? = nil) throws(ScalingError) {
    try OutputFile.save(json(result: result), to: path)
  }

  /// Nanoseconds on the clock of the engine's events.
  private static func now() -> UInt64 { DispatchTime.now().uptimeNanoseconds }
}
