import Martlet
import MartletKernels
import MartletMachine

/// One shared prefix of the model benchmark: its prompts, its samples, its rows.
struct ModelBenchCase {
  let session: Session
  let settings: ModelBench.Settings
  let prefix: Int
  let widths: [Int]

  private var prefills = Samples()
  /// Mean decoding step of each repetition, by width.
  private var steps: [Int: Samples] = [:]
  /// Nanoseconds by phase and width, of all timed steps.
  private var phases: [Int: [String: Double]] = [:]

  init(session: Session, settings: ModelBench.Settings, prefix: Int, widths: [Int]) {
    self.session = session
    self.settings = settings
    self.prefix = prefix
    self.widths = widths
  }

  /// A short untimed pass at every width: pages, scratch memory and caches are there afterwards.
  func warmUp() throws {
    let run = try makeRun(tokens: min(32, prefix + settings.prompt))
    try run.advanceBlocking([run.root], Advance(maxTokens: 1))
    for width in widths {
      try generate(run, width: width, tokens: min(2, settings.generate)) { try $0() }
    }
  }

  /// One prefill, then every width from it.
  mutating func sample(_ repetition: Int) throws {
    let run = try makeRun(tokens: prefix + settings.prompt, seed: UInt64(repetition))
    let begin = monotonicNanoseconds()
    try run.advanceBlocking([run.root], Advance(maxTokens: 1))
    prefills.append(Double(monotonicNanoseconds() - begin))

    let backend = session.engine.backend as? TransformerBackend
    for width in widths {
      backend?.resetStatistics()
      var taken = 0.0
      try generate(run, width: width, tokens: settings.generate) { advance in
        let before = session.engine.statistics.forwards
        backend?.resetStatistics()
        let begin = monotonicNanoseconds()
        try advance()
        taken = Double(monotonicNanoseconds() - begin)
        let forwards = session.engine.statistics.forwards - before
        guard forwards == settings.generate else {
          throw BenchError(
            .system,
            "\(settings.generate) tokens on \(width) branches took \(forwards) forward passes; "
              + "choose a smaller width or a larger KV limit")
        }
      }
      steps[width, default: Samples()].append(taken / Double(settings.generate))
      if let backend { add(backend.statistics, taken: taken, width: width) }
    }
  }

  /// The rows of `widths`, each compared with width 1.
  func rows(widths: [Int], work: ModelWork, limits: MachineLimits) -> [ModelBench.Row] {
    let tokens = prefix + settings.prompt
    let prefillLimit = work.prefill(tokens: tokens).seconds(limits) * 1e9
    let alone = steps[1]?.nanoseconds ?? []
    return widths.map { width in
      let samples = steps[width] ?? Samples()
      // Half of what is generated is there on average; without a shared prefix the limit is that of
      // the weights alone.
      let positions = prefix > 0 ? Double(tokens) + Double(settings.generate) / 2 : 0
      let step = work.decode(width: width, positions: positions)
      let limit = step.seconds(limits) * 1e9
      return ModelBench.Row(
        width: width, sharedPrefix: prefix, prompt: settings.prompt, generate: settings.generate,
        threads: session.team.width,
        prefillTokensPerS: Double(tokens) / prefills.median * 1e9,
        decodeTokensPerS: Double(width) / samples.median * 1e9,
        widthCost: Samples.median(zip(samples.nanoseconds, alone).map { $0 / $1 }),
        fractionOfLimit: limit / samples.median, bestFractionOfLimit: limit / samples.minimum,
        prefillFractionOfLimit: prefillLimit / prefills.median, medianNs: samples.median,
        minNs: samples.minimum, lowNs: samples.interval.lowerBound,
        highNs: samples.interval.upperBound, samplesNs: samples.nanoseconds,
        prefillSamplesNs: prefills.nanoseconds, bytes: step.bytes,
        operations: step.totalOperations, limitNs: limit,
        phases: settings.phases ? phaseMeans(width) : nil,
        command: "\(settings.command) --width \(width) --prompt \(settings.prompt) "
          + "--shared-prefix \(prefix) --generate \(settings.generate)")
    }
  }

  // MARK: Runs

  private func makeRun(tokens: Int, seed: UInt64 = 0) throws -> Run {
    let vocabulary = session.engine.backend.vocabularySize
    let random = RandomTokens(vocabulary: vocabulary)
    // The model's own end of text must not cut a sample short.
    return try session.engine.makeRun(
      prompt: (0..<tokens).map { random[$0] }, seed: seed, sampling: settings.sampling,
      stops: StopRules(stopAtEndOfGeneration: false))
  }

  /// Forks `width` branches, gives each a last token of its own, and has `timed` advance them.
  private func generate(
    _ run: Run, width: Int, tokens: Int, timed: (() throws -> Void) throws -> Void
  ) throws {
    let branches = try run.root.fork(width)
    defer { for branch in branches { branch.release() } }
    try run.advanceBlocking(branches, Advance(maxTokens: 1))
    try timed { try run.advanceBlocking(branches, Advance(maxTokens: tokens)) }
    if let stopped = branches.first(where: { $0.stop != .tokens }) {
      throw BenchError(
        .system,
        "a branch of \(width) stopped early (\(stopped.stop)); choose a smaller width or fewer tokens"
      )
    }
  }

  // MARK: Phases

  private mutating func add(_ statistics: ForwardStatistics, taken: Double, width: Int) {
    var sums = phases[width] ?? [:]
    for phase in ForwardStatistics.Phase.allCases {
      sums[phase.name, default: 0] += statistics.seconds(phase) * 1e9
    }
    sums["sampling and scheduling", default: 0] += taken - statistics.seconds * 1e9
    phases[width] = sums
  }

  private func phaseMeans(_ width: Int) -> [String: Double] {
    let count = Double(settings.repetitions * settings.generate)
    return (phases[width] ?? [:]).mapValues { ($0 / count).rounded() }
  }
}

/// Token ids without a pattern, the same each time.
struct RandomTokens {
  let vocabulary: Int

  subscript(index: Int) -> Token {
    // SplitMix64, by Sebastiano Vigna.
    var z = UInt64(truncatingIfNeeded: index + 1) &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Token((z ^ (z >> 31)) % UInt64(vocabulary))
  }
}
