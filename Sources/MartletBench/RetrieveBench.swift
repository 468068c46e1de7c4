import MartletKernels
import MartletMachine

/// Measures the index of retrieval attention: keys × dimensions × indexes × queries, on one thread.
public enum RetrieveBench {
  /// A way to find the positions that matter.
  public enum Index: String, Sendable, CaseIterable {
    /// Scans codes of all positions and ranks the best by their keys.
    case scan
    /// Takes whole pages by upper bounds of their scores.
    case pages
    /// Exact attention over everything.
    case exact
  }

  /// Where keys and queries come from.
  public enum Distribution: String, Sendable, CaseIterable {
    /// Queries of another distribution than the keys.
    case ood
  }

  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    public var keys = [8_192, 32_768, 131_072]
    public var dimensions = [64, 128]
    public var distributions = Distribution.allCases
    public var indexes = Index.allCases
    /// Queries that search together: heads of a group.
    public var queries = [1, 4]
    /// Codes of four bits per key.
    public var nibbles = 32
    /// Positions that the scan hands to the ranking at 131,072 keys; in proportion for others, but at
    /// least four times those wanted.
    public var candidates = 1_600
    /// Positions to find per query.
    public var wanted = 128
    /// Samples; each with queries of its own.
    public var repetitions = 32
    public var command = "martlet bench retrieve"
    public var version = ""

    public init() {}

    func validate() throws(BenchError) {
      try BenchError.require("keys", keys, in: 1_024...1 << 22)
      try BenchError.require("dim", dimensions, in: 8...256)
      try BenchError.require("queries", queries, in: 1...64)
      try BenchError.require("nibbles", [nibbles], in: 8...256)
      try BenchError.require("candidates", [candidates], in: 1...1 << 20)
      try BenchError.require("wanted", [wanted], in: 1...1 << 20)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
      if let odd = keys.first(where: { $0 % 32 != 0 }) {
        throw BenchError(.argument, "\(odd) keys are no whole pages; give a multiple of 32")
      }
      guard nibbles % 8 == 0 else {
        throw BenchError(.argument, "\(nibbles) nibbles; give a multiple of 8")
      }
      guard !indexes.isEmpty, !distributions.isEmpty else {
        throw BenchError(.argument, "index or distribution is empty; give a value")
      }
    }
  }

  /// One index over one set of keys.
  public struct Row: BenchRow {
    public let index: String
    public let keys: Int
    public let dim: Int
    public let distribution: String
    /// Queries that searched together.
    public let queries: Int
    /// Fitting the codebook.
    public let buildNs: Double
    /// Encoding one key.
    public let insertNs: Double
    /// Median search, its queries' preparation included; of `exact` the whole attention.
    public let queryNs: Double
    public let queryMinNs: Double
    /// The same, with copies of the index in turn whose sizes add up to more than 256 MiB.
    public let coldQueryNs: Double
    public let coldQueryMinNs: Double
    /// Exact attention over what was found, by the same queries.
    public let attendNs: Double
    public let attendMinNs: Double
    /// Spelt so that JSON has `recall_at_100`.
    public let recallAt_100: Double
    public let attentionMass: Double
    public let outputError: Double
    /// That the index takes beside the keys.
    public let bytesPerKey: Double
    /// Part of the keys that attention reads.
    public let touched: Double
    public let variant: String
    public let samplesNs: [Double]
    public let fractionOfLimit: Double
    public let command: String

    public static let header = [
      "index", "keys", "dim", "queries", "search µs", "cold µs", "attention µs", "recall@100",
      "mass", "output error", "bytes/key", "touched",
    ]
    public var cells: [String] {
      [
        index, "\(keys)", "\(dim)", "\(queries)", short(queryNs / 1e3), short(coldQueryNs / 1e3),
        short(attendNs / 1e3), short(recallAt_100), short(attentionMass), short(outputError),
        short(bytesPerKey), short(touched * 100) + " %",
      ]
    }
  }

  /// Standard deviation of the logits: a peaked head.
  static let logitDeviation: Float = 8
  /// Copies of an index must pass this to count as cold.
  static let coldBytes = 256 << 20

  static let formula = """
    a sample is one search of one key-value head for all queries, preparation included (of exact: the \
    attention itself); logits are scaled to a standard deviation of 8; recall_at_100: of each query's \
    true best 100 the part among what its group found; attention_mass and output_error (relative, \
    L2) of attention over what was found alone, means over all queries; limit = bytes of codes (pages: \
    bounds, exact: keys and values) / read bandwidth, measured in this run, values in cache can pass 1
    """

  /// Runs the benchmark.
  /// - Throws: `BenchError`, `KernelError`, `MachineError`.
  public static func run(
    _ settings: Settings, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try settings.validate()
    let team = try ThreadTeam(threads: 1)
    let meter = try MachineMeter(team: team)
    var context = BenchContext(bench: "retrieve", version: settings.version, team: team)
    var limits = meter.measure()
    var rows: [Row] = []
    let cells = settings.keys.flatMap { keys in settings.dimensions.map { (keys, $0) } }
    for (number, (keys, dimensions)) in cells.enumerated() {
      progress(Double(number) / Double(cells.count), "\(keys) keys of \(dimensions)")
      let bench = try RetrieveBenchCase(keys: keys, dimensions: dimensions, settings)
      limits.keepBest(meter.measure(rounds: 1))
      for index in settings.indexes {
        for queries in settings.queries {
          rows.append(try bench.row(index, queries: queries, limits))
        }
      }
    }
    context.limits = limits
    context.formula = formula
    context.settings = [
      "repetitions": "\(settings.repetitions)", "nibbles": "\(settings.nibbles)",
      "candidates": "\(settings.candidates)", "wanted": "\(settings.wanted)",
    ]
    return BenchReport(context: context, rows: rows)
  }
}
