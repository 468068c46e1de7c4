import Foundation
import MartletEngine

/// Turns recorded items into Chrome trace events.
///
/// Format: "Trace Event Format" (Google). Times are microseconds from the first event; every track
/// is a thread of process 1.
struct TraceDocument {
  private static let forwardTrack = 1
  private static let strategyTrack = 2
  private static let firstBranchTrack = 10

  private let decode: @Sendable (Int32) -> String
  private var events: [TraceEvent] = []
  private var start: UInt64?
  private var tracks: [BranchPath: Int] = [:]
  private var forwards: [Int: (time: UInt64, args: [String: JSONValue])] = [:]
  private var advances: [BranchPath: UInt64] = [:]
  private var flows = 0

  init(decode: @escaping @Sendable (Int32) -> String) {
    self.decode = decode
    name("martlet", kind: "process_name", track: 0)
    name("forward passes", kind: "thread_name", track: Self.forwardTrack)
    name("strategy", kind: "thread_name", track: Self.strategyTrack)
  }

  mutating func add(_ item: TraceRecorder.Item) {
    switch item {
    case .engine(let event): add(event)
    case .strategy(let time, let name, let source, let details):
      var args = details
      args["component"] = .text(source)
      instant(name, at: time, track: Self.strategyTrack, args)
    }
  }

  /// The whole file.
  func file(result: RunResult?, replay: ReplayDocument?) -> TraceFile {
    TraceFile(
      traceEvents: events,
      otherData: TraceFile.OtherData(
        schema: "1", model: result?.model, attention: result?.attention,
        strategy: result?.strategy,
        seed: result.map { String($0.seed) }, stoppedBecause: result?.stoppedBecause.rawValue,
        answer: result?.answer, replay: replay))
  }

  private mutating func add(_ event: EngineTraceEvent) {
    let time = event.nanoseconds
    switch event.kind {
    case .forwardBegan(let index, let rows, let runRows, let decodeRows):
      forwards[index] = (
        time,
        [
          "rows": .integer(Int64(rows)), "run_rows": .integer(Int64(runRows)),
          "decode_rows": .integer(Int64(decodeRows)), "index": .integer(Int64(index)),
        ]
      )
    case .forwardEnded(let index):
      guard let began = forwards.removeValue(forKey: index) else { return }
      span("forward", from: began.time, to: time, track: Self.forwardTrack, began.args)
    case .token(let path, let token, let logprob):
      let args: [String: JSONValue] = [
        "token": .integer(Int64(token)),
        "logprob": logprob.isFinite ? .number(Double(logprob)) : .text("\(logprob)"),
      ]
      instant(decode(token), at: time, track: track(path), args)
    case .forked(let path, let first, let count):
      let parent = track(path)
      // A slice, not an instant: arrows start at slices.
      span(
        "fork", from: time, to: time + 1000, track: parent, ["children": .integer(Int64(count))])
      for index in first..<first + count {
        flow(at: time, from: parent, to: track(path.child(UInt32(index))))
      }
    case .resampled(let population, let results):
      instant(
        "resample", at: time, track: Self.strategyTrack,
        ["population": .integer(Int64(population)), "results": .integer(Int64(results))])
    case .truncated(let path, let generated):
      instant("truncate", at: time, track: track(path), ["tokens": .integer(Int64(generated))])
    case .dropped(let path, let first, let tokens):
      instant(
        "drop", at: time, track: track(path),
        ["first": .integer(Int64(first)), "tokens": .integer(Int64(tokens))])
    case .appended(let path, let tokens):
      instant("append", at: time, track: track(path), ["tokens": .integer(Int64(tokens))])
    case .opened(let path, let tokens):
      instant("open", at: time, track: track(path), ["tokens": .integer(Int64(tokens))])
    case .demoted(let path, let pages):
      instant("demote", at: time, track: track(path), ["pages": .integer(Int64(pages))])
    case .submitted(let path):
      advances[path] = time
    case .stopped(let path, let reason, let generated):
      let args: [String: JSONValue] = [
        "stop": .text(reason.description), "tokens": .integer(Int64(generated)),
        "path": .text(path.description),
      ]
      span(
        "advance", from: advances.removeValue(forKey: path) ?? time, to: time, track: track(path),
        args)
    case .drafted(let path, let forward, let nodes, let accepted):
      instant(
        "draft", at: time, track: track(path),
        [
          "forward": .integer(Int64(forward)), "drafted": .integer(Int64(nodes)),
          "accepted": .integer(Int64(accepted)),
        ])
    case .draftingDecided(let forward, let branches, let source, let isOn, let balance):
      instant(
        "drafting", at: time, track: track(.root),
        [
          "forward": .integer(Int64(forward)), "branches": .integer(Int64(branches)),
          "source": .text(source), "on": .flag(isOn), "balance_s": .number(balance),
        ])
    case .released(let path):
      instant("release", at: time, track: track(path), [:])
    }
  }

  private mutating func track(_ path: BranchPath) -> Int {
    if let known = tracks[path] { return known }
    let track = Self.firstBranchTrack + tracks.count
    tracks[path] = track
    name("branch \(path)", kind: "thread_name", track: track)
    return track
  }

  private mutating func microseconds(_ time: UInt64) -> Double {
    let start = start ?? time
    self.start = start
    return Double(Int64(time) - Int64(start)) / 1000
  }

  private mutating func name(_ name: String, kind: String, track: Int) {
    events.append(
      TraceEvent(name: kind, ph: "M", ts: 0, tid: track, args: ["name": .text(name)]))
  }

  private mutating func span(
    _ name: String, from: UInt64, to: UInt64, track: Int, _ args: [String: JSONValue]
  ) {
    events.append(
      TraceEvent(
        name: name, ph: "X", ts: microseconds(from), tid: track, args: args,
        dur: Double(to - min(from, to)) / 1000))
  }

  private mutating func instant(
    _ name: String, at time: UInt64, track: Int, _ args: [String: JSONValue]
  ) {
    events.append(
      TraceEvent(name: name, ph: "i", ts: microseconds(time), tid: track, args: args, s: "t"))
  }

  private mutating func flow(at time: UInt64, from parent: Int, to child: Int) {
    flows += 1
    let at = microseconds(time)
    events.append(TraceEvent(name: "fork", ph: "s", ts: at, tid: parent, id: flows, cat: "fork"))
    // Without a binding point the arrow ends at the child's next slice: its first advance.
    events.append(TraceEvent(name: "fork", ph: "f", ts: at, tid: child, id: flows, cat: "fork"))
  }
}

/// One event, with the format's own field names.
struct TraceEvent: Encodable {
  let name: String
  let ph: String
  let ts: Double
  var pid = 1
  let tid: Int
  var args: [String: JSONValue]?
  var dur: Double?
  var s: String?
  var id: Int?
  var cat: String?

  init(
    name: String, ph: String, ts: Double, tid: Int, args: [String: JSONValue]? = nil,
    dur: Double? = nil, s: String? = nil, id: Int? = nil, cat: String? = nil
  ) {
    self.name = name
    self.ph = ph
    self.ts = ts
    self.tid = tid
    self.args = args
    self.dur = dur
    self.s = s
    self.id = id
    self.cat = cat
  }
}

/// The file's outer object.
struct TraceFile: Encodable {
  let traceEvents: [TraceEvent]
  var displayTimeUnit = "ms"
  let otherData: OtherData

  init(traceEvents: [TraceEvent], otherData: OtherData) {
    self.traceEvents = traceEvents
    self.otherData = otherData
  }

  struct OtherData: Encodable {
    let schema: String
    let model: String?
    let attention: String?
    let strategy: String?
    let seed: String?
    let stoppedBecause: String?
    let answer: String?
    let replay: ReplayDocument?
  }
}
