import Martlet
import MartletKernels
import MartletMachine

/// One shared prefix of the model benchmark: its prompts, its samples, its rows.
struct ModelBenchCase {
  let session: Session
  let settings: ModelBench.Settings
  let prefix: Int
  let widths: [Int]

  private var prefills = LimitedSamples()
  /// Mean decoding step of each repetition, by width.
  private var steps: [Int: LimitedSamples] = [:]
  /// Nanoseconds by phase and width, of all timed steps.
  private var phases: [Int: [String: Double]] = [:]

  init(session: Session, settings: ModelBench.Settings, prefix: Int, widths: [Int]) {
    self.session = session
    self.settings = settings
    self.prefix = prefix
    self.widths = widths
  }

  private var runner: BranchRunner {
    BranchRunner(engine: session.engine, sampling: settings.sampling)
  }

  /// A short untimed pass at every width: pages, scratch memory and caches are there afterwards.
  func warmUp() throws {
    let run = try runner.makeRun(tokens: min(32, prefix + settings.prompt))
    _ = try runner.prefill(run)
    for width in widths {
      _ = try runner.decode(run, width: width, tokens: min(2, settings.generate))
    }
  }

  /// One prefill, then every width from it, limits measured around each.
  mutating func sample(_ repetition: Int, _ limits: inout LimitTrack) throws {
    limits.interrupt()
    let run = try runner.makeRun(tokens: prefix + settings.prompt, seed: UInt64(repetition))
    let (prefill, beside) = try limits.beside {
      // Caches as a forward pass leaves them, not as a probe does; decoding has untimed tokens.
      _ = try runner.prefill(runner.makeRun(tokens: 1))
      return try runner.prefill(run)
    }
    prefills.append(prefill, beside: beside)
    for width in widths {
      let (taken, beside) = try limits.beside {
        try runner.decode(run, width: width, tokens: settings.generate)
      }
      steps[width, default: LimitedSamples()].append(
        (taken / Double(settings.generate)).rounded(), beside: beside)
      if let backend = session.engine.backend as? TransformerBackend {
        add(backend.statistics, taken: taken, width: width)
      }
    }
  }

  /// The rows of `widths`, each compared with width 1.
  func rows(widths: [Int], work: ModelWork) -> [ModelBench.Row] {
    let tokens = prefix + settings.prompt
    let prefillWork = work.prefill(tokens: tokens)
    let alone = steps[1]?.samples.nanoseconds ?? []
    return widths.map { width in
      let own = steps[width] ?? LimitedSamples()
      // Half of what is generated is there on average; without a shared prefix the limit is that of
      // the weights alone.
      let positions = prefix > 0 ? Double(tokens) + Double(settings.generate) / 2 : 0
      let step = work.decode(width: width, positions: positions)
      return ModelBench.Row(
        ModelBench.Cell(
          width: width, sharedPrefix: prefix, prompt: settings.prompt,
          generate: settings.generate,
          prefillTokensPerS: Double(tokens) / prefills.samples.median * 1e9,
          decodeTokensPerS: Double(width) / own.samples.median * 1e9,
          widthCost: Samples.median(zip(own.samples.nanoseconds, alone).map { $0 / $1 }),
          bestFractionOfLimit: own.fractions(step).max() ?? 0,
          prefillFractionOfLimit: prefills.fraction(prefillWork),
          prefillSamplesNs: prefills.samples.nanoseconds,
          prefillLimitSamplesNs: prefills.limitNs(prefillWork).map { $0.rounded() },
          phases: settings.phases ? phaseMeans(width) : nil),
        samples: own, work: step, threads: session.team.width,
        command: "\(settings.command) --width \(width) --prompt \(settings.prompt) "
          + "--shared-prefix \(prefix) --generate \(settings.generate)")
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
