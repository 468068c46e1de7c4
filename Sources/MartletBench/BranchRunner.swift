import Martlet
import MartletMachine

/// Runs prompts without meaning on an engine and times what branches of them cost.
struct BranchRunner {
  let engine: Engine
  let sampling: SamplingOptions

  /// A run over `tokens` tokens that nothing ends early.
  func makeRun(tokens: Int, seed: UInt64 = 0) throws -> Run {
    let random = RandomTokens(vocabulary: engine.backend.vocabularySize)
    // The model's own end of text must not cut a sample short.
    return try engine.makeRun(
      prompt: (0..<tokens).map { random[$0] }, seed: seed, sampling: sampling,
      stops: StopRules(stopAtEndOfGeneration: false))
  }

  /// Processes the prompt and draws its first token. Returns nanoseconds.
  func prefill(_ run: Run) throws -> Double {
    let begin = monotonicNanoseconds()
    try run.advanceBlocking([run.root], Advance(maxTokens: 1))
    return Double(monotonicNanoseconds() - begin)
  }

  /// Forks `width` branches from a prefilled run, gives each a last token of its own, and times
  /// `tokens` steps of all of them. Returns nanoseconds.
  ///
  /// Throws `BenchError` `.system` unless each step was one forward pass with all branches.
  func decode(_ run: Run, width: Int, tokens: Int) throws -> Double {
    let branches = try run.root.fork(width)
    defer { for branch in branches { branch.release() } }
    try run.advanceBlocking(branches, Advance(maxTokens: 1))
    (engine.backend as? TransformerBackend)?.resetStatistics()
    let before = engine.statistics.forwards
    let begin = monotonicNanoseconds()
    try run.advanceBlocking(branches, Advance(maxTokens: tokens))
    let taken = Double(monotonicNanoseconds() - begin)
    let forwards = engine.statistics.forwards - before
    let stopped = branches.first { $0.stop != .tokens }
    guard forwards == tokens, stopped == nil else {
      let reason = stopped.map { "a branch stopped early (\($0.stop))" } ?? "\(forwards) passes"
      throw BenchError(
        .system,
        "\(tokens) tokens on each of \(width) branches were not \(tokens) forward passes: "
          + "\(reason); choose a smaller width")
    }
    return taken
  }
}

/// Token ids without a pattern, the same each time.
struct RandomTokens {
  let vocabulary: Int

  subscript(index: Int) -> Token { Token(randomBits(index) % UInt64(vocabulary)) }
}

/// 64 bits without a pattern for each index: SplitMix64, by Sebastiano Vigna.
func randomBits(_ index: Int) -> UInt64 {
  var z = UInt64(truncatingIfNeeded: index + 1) &* 0x9E37_79B9_7F4A_7C15
  z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
  z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
  return z ^ (z >> 31)
}
