import MartletEngine
import MartletKernels
import MartletMachine

/// Measures choosing a token: vocabulary × chain of rules × branches × shape of the logits, on one
/// thread.
public enum SampleBench {
  /// How the logits of a row are distributed. All are synthetic, by seed.
  public enum Shape: String, CaseIterable, Sendable {
    /// Five tokens far above a normal body: an entropy of about half a nat.
    case peaked
    /// Three thousand tokens that fall off by the logarithm of their rank, above a normal body: as
    /// a language model between certainties, about three nats.
    case model
    /// Normal with σ = 0.3: nearly every token matters.
    case flat
  }

  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    public var vocabularies = [32000, 128_256, 151_936, 262_144]
    /// Texts that ``SamplingOptions/parse(_:)`` reads.
    public var chains = ["temperature=0.8"]
    /// Rows sampled one after the other, each a branch of its own.
    public var branches = [1]
    public var shapes = Shape.allCases
    /// Samples; the cells of one vocabulary and shape take turns.
    public var repetitions = 30
    public var command = "martlet bench sample"
    public var version = ""

    public init() {}

    func validate() throws -> [SamplingOptions] {
      try BenchError.require("vocab", vocabularies, in: 2...1 << 22)
      try BenchError.require("branches", branches, in: 1...1024)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
      guard !chains.isEmpty else { throw BenchError(.argument, "the list of chains is empty") }
      guard !shapes.isEmpty else { throw BenchError(.argument, "the list of shapes is empty") }
      return try chains.map { chain in
        do throws(EngineError) {
          let options = try SamplingOptions.parse(chain)
          try options.validate(vocabularySize: vocabularies.min() ?? 0)
          return options
        } catch {
          throw BenchError(.argument, "chain '\(chain)': \(error.message)")
        }
      }
    }
  }

  /// One cell.
  public struct Row: BenchRow {
    public let vocab: Int
    public let chain: String
    public let branches: Int
    public let shape: String
    /// Tokens the rules left, on average.
    public let kept: Double
    public let variant: String
    /// For all branches.
    public let medianNs: Double
    public let minNs: Double
    /// 95 % interval of the median.
    public let lowNs: Double
    public let highNs: Double
    public let samplesNs: [Double]
    public let branchNs: Double
    /// Of the rows, read once.
    public let bytes: Double
    public let operations: Double
    public let fractionOfLimit: Double
    public let command: String

    public static let header = [
      "vocabulary", "chain", "branches", "shape", "kept", "µs", "µs per branch", "of limit",
    ]
    public var cells: [String] {
      [
        "\(vocab)", chain.isEmpty ? "(plain)" : chain, "\(branches)", shape, short(kept),
        short(medianNs / 1e3), short(branchNs / 1e3), short(fractionOfLimit),
      ]
    }
  }

  static let formula = """
    limit = operations / fp32 FMA peak of one thread, measured in this run; operations = 18 per \
    logit for the exponentials of log-probability and entropy, and 16 for weights where the \
    temperature is not 1; fraction_of_limit = limit / median. Truncation, penalties and the draw are \
    not counted as operations but are in the time, as is the Swift interface
    """

  /// Runs the benchmark.
  /// - Throws: `BenchError`, `KernelError`, `MachineError`.
  public static func run(
    _ settings: Settings, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    let options = try settings.validate()
    let team = try ThreadTeam(threads: 1)
    let meter = try MachineMeter(team: team)
    var limits = meter.measureOneThread()
    var context = BenchContext(bench: "sample", version: settings.version, team: team)
    var rows: [Row] = []
    let cells = settings.vocabularies.flatMap { vocabulary in
      settings.shapes.map { (vocabulary, $0) }
    }
    for (index, (vocabulary, shape)) in cells.enumerated() {
      progress(Double(index) / Double(cells.count), "\(vocabulary) \(shape.rawValue)")
      var sampled = try SampleBenchCase(vocabulary, shape, options, settings)
      try sampled.measure()
      limits.keepBest(meter.measureOneThread(rounds: 1))
      rows += sampled.rows(limits)
    }
    context.limits = limits
    context.formula = formula
    context.settings = ["repetitions": "\(settings.repetitions)"]
    return BenchReport(context: context, rows: rows)
  }
}
