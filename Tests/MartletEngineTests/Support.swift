import Foundation
import MartletEngine
import MartletSimulation
import Synchronization
import Testing

/// Words that make readable random text; the hashed world gives each history its own distribution.
let words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", " ", ".", "\n", "é"]

func hashedBackend(
  context: Int = 4096, pageTokens: Int = 4, maximumBatch: Int = 512, spread: Float = 3,
  endBias: Float = -.infinity, cost: SimulatedCost = .init()
) -> SimulatedBackend {
  SimulatedBackend(
    world: HashedWorld(
      codec: WordCodec(words: words), seed: 7, spread: spread, endBias: endBias),
    contextLength: context, pageTokens: pageTokens, bytesPerPage: 1000,
    maximumBatchTokens: maximumBatch, cost: cost)
}

/// A language that repeats itself: a token depends on the few before it, with one or two likely ways
/// on, so that guesses by what came before are often right and sometimes not.
func repetitiveBackend(
  context: Int = 4096, pageTokens: Int = 4, maximumBatch: Int = 512, certainty: Float = 9,
  order: Int = 3,
  cost: SimulatedCost = .init()
) -> SimulatedBackend {
  let hashed = HashedWorld(codec: WordCodec(words: words), seed: 11, spread: certainty)
  return SimulatedBackend(
    world: ClosureWorld(codec: hashed.codec) { hashed.logits(after: Array($0.suffix(order))) },
    contextLength: context, pageTokens: pageTokens, bytesPerPage: 1000,
    maximumBatchTokens: maximumBatch, cost: cost)
}

func tokens(_ text: String) -> [Int32] {
  WordCodec(words: words).encode(text, addSpecial: false, parseSpecial: false)
}

/// Log-softmax in double precision.
func logSoftmax(_ row: [Float]) -> [Double] {
  let top = Double(row.max()!)
  let sum = row.reduce(0) { $0 + exp(Double($1) - top) }
  return row.map { Double($0) - top - log(sum) }
}

/// The tokens of `branch` that were drawn (log-probability not 0) must have exactly the
/// log-probabilities the world gives them after the tokens before them: any page that held
/// something else would show here.
func expectTrue(
  _ branch: Branch, to world: any SimulatedWorld, prompt: [Int32],
  sourceLocation: SourceLocation = #_sourceLocation
) {
  var history = prompt
  for (token, logprob) in zip(branch.tokens, branch.logprobs) {
    if logprob != 0 {
      let expected = logSoftmax(world.logits(after: history))[Int(token)]
      if abs(expected - Double(logprob)) > 1e-5 {
        Issue.record(
          "branch \(branch.path), token \(history.count): logprob \(logprob), not \(expected)",
          sourceLocation: sourceLocation)
        return
      }
    }
    history.append(token)
  }
}

/// Runs `body` and returns the engine error it throws.
func engineError<T>(_ body: () throws -> T) -> EngineError? {
  do {
    _ = try body()
    return nil
  } catch {
    return error as? EngineError
  }
}

/// Waits for something that another thread is about to do; false after ten seconds.
func eventually(_ condition: @Sendable () -> Bool) async -> Bool {
  for _ in 0..<5000 {
    if condition() { return true }
    try? await Task.sleep(for: .milliseconds(2))
  }
  return condition()
}

/// A gate with a number of tokens, which checks that it is never asked for more.
final class CountingGate: TokenGate {
  private let state: Mutex<(left: Int?, granted: Int)>
  init(limit: Int?) { state = Mutex((limit, 0)) }
  var remainingTokens: Int? { state.withLock { $0.left } }
  var granted: Int { state.withLock { $0.granted } }
  func reserve(_ count: Int) -> Bool {
    state.withLock { state in
      if let left = state.left {
        guard left >= count else { return false }
        state.left = left - count
      }
      state.granted += count
      return true
    }
  }
  func refund(_ count: Int) {
    state.withLock { state in
      state.granted -= count
      state.left = state.left.map { $0 + count }
    }
  }
}

final class Recorder: EngineObserver {
  private let state = Mutex<[EngineTraceEvent]>([])
  var events: [EngineTraceEvent] { state.withLock { $0 } }
  func record(_ event: EngineTraceEvent) { state.withLock { $0.append(event) } }
}

/// A deterministic generator for property tests; the seed is part of every failure message.
struct TestRandom: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state = state &+ 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }
}
