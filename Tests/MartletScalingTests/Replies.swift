import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// A model given by what it replies: whatever stands up to the last `?` or `|` is what it was told, and it goes on with
/// one of the replies to that, byte by byte.
struct Replies: SimulatedWorld {
  let codec: any TokenCodec = ByteCodec()
  let replies: @Sendable (_ told: String) -> [(String, Double)]

  func logits(after tokens: [Int32]) -> [Float] {
    var row = [Float](repeating: -.infinity, count: codec.vocabularySize)
    let bytes = tokens.filter { $0 < 256 }.map { UInt8($0) }
    let start = (bytes.lastIndex { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "|") } ?? -1) + 1
    var chances = [Double](repeating: 0, count: row.count)
    for (reply, chance) in replies(String(decoding: bytes[..<start], as: UTF8.self)) {
      let reply = Array(reply.utf8)
      guard reply.starts(with: bytes[start...]) else { continue }
      let place = bytes.count - start
      chances[place < reply.count ? Int(reply[place]) : 256] += chance
    }
    for (token, chance) in chances.enumerated() where chance > 0 { row[token] = Float(log(chance)) }
    if chances.allSatisfy({ $0 == 0 }) { row[256] = 0 }
    return row
  }
}

/// Says 5 with probability 0.4 and 6 with 0.6, whatever it is told.
let unsure = [("#5", 0.4), ("#6", 0.6)]

/// Runs a strategy on a model of replies, with answers as `final-answer` finds them.
func runReplies(
  _ world: Replies, _ prompt: String, _ strategy: String, _ options: [String] = [],
  seed: UInt64 = 1, trace: TraceRecorder? = nil,
  others: [String: Replies] = [:], scorer: String? = nil,
  judge: (@Sendable (String) -> Double)? = nil
) async throws -> RunResult {
  var (session, engine) = try makeSession(world)
  if !others.isEmpty {
    var surroundings = ModelSurroundings()
    let opened = try others.mapValues { world in
      OpenedModel(
        engine: try Engine(backend: SimulatedBackend(world: world, contextLength: 4096)),
        surroundings: ModelSurroundings())
    }
    surroundings.open = { name throws(ScalingError) in
      guard let model = opened[name] else { throw ScalingError(.notFound, "no model '\(name)'") }
      return model
    }
    session = ScalingSession(
      engine: engine, plugins: shipped, model: "simulation", surroundings: surroundings)
  }
  var request = try request(prompt, strategy, options, seed: seed, maxTokens: 600)
  request.extractor = "final-answer"
  request.scorer = scorer
  if let judge { request.judge = { judge($0.text) } }
  let result = try await session.run(request, trace: trace)
  #expect(result.failure == nil, "\(result.failure ?? "")")
  #expect(engine.pagesInUse == 0)
  return result
}

/// How many of ten seeds end in the answer 5.
func rightOfTen(
  _ world: Replies, _ prompt: String, _ strategy: String, _ options: [String],
  judge: (@Sendable (String) -> Double)? = nil
) async throws -> Int {
  var count = 0
  for seed in UInt64(1)...10 {
    let result = try await runReplies(
      world, prompt, strategy, options, seed: seed, judge: judge)
    if result.answer == "5" { count += 1 }
  }
  return count
}

/// What a strategy noted under a name in its trace.
func notes(_ trace: TraceRecorder, _ name: String) throws -> [String: Any] {
  let event = try #require(try traceEvents(trace).first { $0["name"] as? String == name })
  return try #require(event["args"] as? [String: Any])
}
