import MartletKernels
import MartletMachine

/// Measures the verification of drafted tokens: vocabularies × verifiers × nodes, on one thread.
public enum VerifyBench {
  /// A way to keep drafts.
  public enum Verifier: String, Sendable, CaseIterable {
    /// One draft per position, drawn from a law.
    case chain
    /// Four drafts per position, tested one after another.
    case recursive
    /// Four drafts per position, drawn without replacement.
    case distinct
    /// Four drafts per position, reduced to one by importance.
    case weighted
    /// Four drafts per position without a law.
    case deterministic
    /// Four drafts per position, kept while they are the most likely.
    case greedy
    /// Four drafts per position, kept while plain sampling draws them.
    case sameNoise = "same-noise"
    /// Four drafts per position, kept by typical acceptance.
    case typical
  }

  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    public var vocabularies = [32_000, 128_256]
    public var verifiers = Verifier.allCases
    /// Drafted tokens, the root not counted.
    public var nodes = [1, 8, 32]
    /// Samples; verifiers and nodes of one vocabulary take turns.
    public var repetitions = 10
    public var command = "martlet bench verify"
    public var version = ""

    public init() {}

    func validate() throws(BenchError) {
      try BenchError.require("vocabulary", vocabularies, in: 2...1 << 20)
      try BenchError.require("nodes", nodes, in: 1...256)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
      guard !verifiers.isEmpty else {
        throw BenchError(.argument, "verifier is empty; give a value")
      }
    }
  }

  /// One verifier over drafts of one size.
  public struct Row: BenchRow {
    public let vocab: Int
    public let verifier: String
    public let nodes: Int
    public let draftsPerPosition: Int
    /// Mean number of drafts kept per call.
    public let kept: Double
    public let variant: String
    public let medianNs: Double
    public let minNs: Double
    /// 95 % interval of the median.
    public let lowNs: Double
    public let highNs: Double
    public let samplesNs: [Double]
    /// What a call has to read at least.
    public let bytes: Double
    public let fractionOfLimit: Double
    /// Median over the time that reading the output matrix alone takes.
    public let shareOfOutputMatrix: Double
    public let command: String

    public static let header = [
      "vocabulary", "verifier", "nodes", "kept", "µs", "of limit", "of output matrix",
    ]
    public var cells: [String] {
      [
        "\(vocab)", verifier, "\(nodes)", short(kept), short(medianNs / 1e3),
        short(fractionOfLimit), short(shareOfOutputMatrix * 100) + " %",
      ]
    }
  }

  /// Depth of the output matrix that a share is of.
  static let outputDepth = 2_048

  static let formula = """
    a sample is the mean call over 32 drafts with numbers of their own; limit = bytes / read \
    bandwidth, measured in this run; bytes = the target's row and the law's of the last position \
    (chain, recursive, distinct, weighted), the target's row (deterministic), the rows of all nodes \
    reached (greedy, typical), 0 (same-noise); fraction_of_limit = limit / median, rows in cache can \
    pass 1; share_of_output_matrix = median over vocab x \(outputDepth) weights in Q4_0 at read \
    bandwidth, a part of every forward pass
    """

  /// Runs the benchmark.
  /// - Throws: `BenchError`, `KernelError`, `MachineError`.
  public static func run(
    _ settings: Settings, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try settings.validate()
    let team = try ThreadTeam(threads: 1)
    let meter = try MachineMeter(team: team)
    var context = BenchContext(bench: "verify", version: settings.version, team: team)
    var limits = meter.measure()
    var rows: [Row] = []
    for (index, vocabulary) in settings.vocabularies.enumerated() {
      progress(
        Double(index) / Double(settings.vocabularies.count), "\(vocabulary) tokens")
      let bench = try VerifyBenchCase(vocabulary: vocabulary, settings)
      let samples = try bench.measure()
      limits.keepBest(meter.measure(rounds: 1))
      rows += bench.rows(samples, limits)
    }
    context.limits = limits
    context.formula = formula
    context.settings = ["repetitions": "\(settings.repetitions)"]
    return BenchReport(context: context, rows: rows)
  }
}
