import MartletMachine

/// What the settings of every benchmark of kernels have.
protocol KernelBenchSettings {
  /// Thread counts; nil is as many as the machine calls for.
  var threads: [Int?] { get }
  var repetitions: Int { get }
  var version: String { get }
}

extension KernelBenchSettings {
  func validateRuns() throws(BenchError) {
    try BenchError.require("repetitions", [repetitions], in: 1...10_000)
    try BenchError.require(
      "threads", threads.map { $0 ?? 1 }, in: 1...PlacementPlan.maximumThreads)
  }
}

/// The course of every benchmark of kernels: for each number of threads a team, for each operand its
/// cells in turns.
enum KernelBench {
  /// Runs `measure` for every number of threads and operand.
  ///
  /// - Parameters:
  ///   - operands: what cells share: a weight, or a set of pages.
  ///   - measure: makes one operand and times its cells with the sampler.
  /// - Throws: what `measure` throws, `MachineError`, `BenchError`.
  static func run<Operand, Cell>(
    _ name: String, _ settings: some KernelBenchSettings, formula: String, operands: [Operand],
    progress: (Double, String) -> Void, describe: (Operand) -> String,
    measure: (Operand, ThreadTeam, inout KernelSampler) throws -> [TimedRow<Cell>]
  ) throws -> BenchReport<TimedRow<Cell>> {
    let total = Double(settings.threads.count * operands.count)
    var rows: [TimedRow<Cell>] = []
    var series: [LimitSeries] = []
    var context: BenchContext?
    for (round, threads) in settings.threads.enumerated() {
      let team = try ThreadTeam(threads: threads)
      var sampler = KernelSampler(
        limits: LimitTrack(try MachineMeter(team: team)), repetitions: settings.repetitions)
      for (index, operand) in operands.enumerated() {
        progress(
          Double(round * operands.count + index) / total,
          "\(describe(operand)), \(team.width) threads")
        rows += try measure(operand, team, &sampler)
      }
      let probes = sampler.limits.probes
      series.append(LimitSeries(threads: team.width, probes))
      // The context of the last team, which is the widest of the defaults.
      var own = BenchContext(bench: name, version: settings.version, team: team)
      own.date = context?.date ?? own.date
      own.hostLoad = context?.hostLoad ?? own.hostLoad
      own.limits = MachineLimits.median(probes)
      own.limitSamples = series
      own.formula = formula
      own.settings = ["repetitions": "\(settings.repetitions)"]
      context = own
    }
    guard let context else { throw BenchError(.argument, "threads is empty; give a value") }
    return BenchReport(context: context, rows: rows)
  }
}

/// Times cells in turns, limits measured around every sample.
struct KernelSampler {
  var limits: LimitTrack
  let repetitions: Int

  /// Samples of every cell, each the mean over calls that take about three milliseconds.
  ///
  /// - Parameters:
  ///   - round: calls to one cell come in multiples of this.
  ///   - time: nanoseconds per call over a number of calls.
  mutating func sample<Key: Hashable>(
    _ keys: [Key], round: (Key) -> Int = { _ in 1 }, time: (Key, _ calls: Int) -> Double
  ) -> [Key: LimitedSamples] {
    var calls: [Key: Int] = [:]
    for key in keys {
      let round = round(key)
      _ = time(key, 1)
      let once = max(1, time(key, round) * Double(round))
      calls[key] = round * max(1, Int((3e6 / once).rounded(.up)))
    }
    limits.interrupt()
    var samples: [Key: LimitedSamples] = [:]
    for _ in 0..<repetitions {
      for key in keys {
        let (taken, beside) = limits.beside { () -> Double in
          // The probe left its own memory in the caches: one call puts back what the state that is
          // measured has there.
          _ = time(key, 1)
          return time(key, calls[key] ?? 1).rounded()
        }
        samples[key, default: LimitedSamples()].append(taken, beside: beside)
      }
    }
    return samples
  }
}
