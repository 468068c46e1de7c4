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

  /// One prefill, then every width from it.
  mutating func sample(_ repetition: Int) throws {
    let run = try runner.makeRun(tokens: prefix + settings.prompt, seed: UInt64(repetition))
    prefills.append(try runner.prefill(run))
    for width in widths {
      let taken = try runner.decode(run, width: width, tokens: settings.generate)
      steps[width, default: Samples()].append((taken / Double(settings.generate)).rounded())
      if let backend = session.engine.backend as? TransformerBackend {
        add(backend.statistics, taken: taken, width: width)
      }
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
