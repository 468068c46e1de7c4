import Martlet
import MartletKernels
import MartletMachine

/// Measures the index of retrieval attention: keys × dimensions × indexes × queries, on one thread.
public enum RetrieveBench {
  /// A way to find the positions that matter.
  public enum Index: String, Sendable, CaseIterable {
    /// Scans codes of all positions and ranks the best by their keys.
    case scan
    /// Follows links between keys that were found together, from the best to better ones.
    case graph
    /// Takes whole pages by upper bounds of their scores.
    case pages
    /// Exact attention over everything.
    case exact
  }

  /// Where keys and queries come from.
  public enum Distribution: Sendable, Equatable {
    /// Synthetic, queries of another distribution than the keys.
    case ood
    /// What a model had: all heads of a file that `Benchmarks/Model/dump_long.py` describes.
    case model(path: String)

    /// The words that ``parse(_:)`` knows.
    public static let names = ["ood", "model=DUMP"]

    /// `ood`, or `model=` and the path of a file.
    /// - Throws: `BenchError` naming the word.
    public static func parse(_ text: String) throws(BenchError) -> Distribution {
      if text == "ood" { return .ood }
      guard text.hasPrefix("model="), text.utf8.count > 6 else {
        throw BenchError(
          .argument, "distribution '\(text)' is not known; use \(names.joined(separator: ", "))")
      }
      return .model(path: String(text.dropFirst(6)))
    }

    /// What ``parse(_:)`` reads as this.
    public var name: String {
      switch self {
      case .ood: "ood"
      case .model(let path): "model=\(path)"
      }
    }
  }

  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    public var keys = [8_192, 32_768, 131_072]
    public var dimensions = [64, 128]
    public var distributions = [Distribution.ood]
    public var indexes = Index.allCases
    /// Queries that search together: heads of a group.
    public var queries = [1, 4]
    /// Codes of four bits per key.
    public var nibbles = 32
    /// Positions that the scan hands to the ranking at 131,072 keys; in proportion for others, but at
    /// least four times those wanted.
    public var candidates = 1_600
    /// Keys whose links a graph's search follows, per query.
    public var expanded = 800
    /// Of those it reaches, the best by codes that are ranked.
    public var graphCandidates = 1_600
    /// Positions to find per query.
    public var wanted = 128
    /// The largest error of outputs of what is chosen.
    public var tolerance = 0.02
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
      try BenchError.require("expanded", [expanded], in: 1...1 << 20)
      try BenchError.require("graph-candidates", [graphCandidates], in: 1...1 << 20)
      try BenchError.require("wanted", [wanted], in: 1...1 << 20)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
      guard (0...1).contains(tolerance) else {
        throw BenchError(.argument, "tolerance \(tolerance) is not 0 to 1")
      }
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
    /// The head of a model, `LAYER.HEAD`.
    public let head: String?
    /// Queries that searched together.
    public let queries: Int
    /// Fitting the codebook; of a graph, building it of all keys but the last 1,024 too.
    public let buildNs: Double
    /// Encoding one key; of a graph, linking it too (the last 1,024).
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
    /// Whether this is what `IndexChooser` takes for these keys and queries among the rows of the run.
    public var chosen = false
    public let variant: String
    public let samplesNs: [Double]
    public let fractionOfLimit: Double
    public let command: String

    public static let header = [
      "index", "keys", "dim", "head", "queries", "search µs", "cold µs", "attention µs",
      "recall@100",
      "mass", "output error", "bytes/key", "touched", "chosen",
    ]
    public var cells: [String] {
      [
        index, "\(keys)", "\(dim)", head ?? "", "\(queries)", short(queryNs / 1e3),
        short(coldQueryNs / 1e3),
        short(attendNs / 1e3), short(recallAt_100), short(attentionMass), short(outputError),
        short(bytesPerKey), short(touched * 100) + " %", chosen ? "yes" : "",
      ]
    }
  }

  /// Standard deviation of the logits: a peaked head.
  static let logitDeviation: Float = 8
  /// Copies of an index must pass this to count as cold.
  static let coldBytes = 256 << 20

  static let formula = """
    a sample is one search of one key-value head for all queries, preparation included (of exact: the \
    attention itself); synthetic logits are scaled to a standard deviation of 8; recall_at_100: of each query's \
    true best 100 the part among what its group found; attention_mass and output_error (relative, \
    L2) of attention over what was found alone, means over all queries; limit = bytes of codes (pages: \
    bounds, graph: blocks that were looked at, exact: keys and values) / read bandwidth, measured in this run, values in cache can pass 1
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
    let cells = try settings.distributions.flatMap { try Self.cells($0, settings) }
    for (number, cell) in cells.enumerated() {
      progress(
        Double(number) / Double(cells.count), "\(cell.keys) keys of \(cell.dimensions)")
      let bench = try RetrieveBenchCase(cell, settings)
      limits.keepBest(meter.measure(rounds: 1))
      for index in settings.indexes {
        for queries in settings.queries {
          rows.append(try bench.row(index, queries: queries, limits))
        }
      }
    }
    choose(&rows, settings.tolerance)
    context.limits = limits
    context.formula = formula
    context.settings = [
      "repetitions": "\(settings.repetitions)", "nibbles": "\(settings.nibbles)",
      "candidates": "\(settings.candidates)", "wanted": "\(settings.wanted)",
      "tolerance": "\(settings.tolerance)", "expanded": "\(settings.expanded)",
      "graph_candidates": "\(settings.graphCandidates)",
    ]
    return BenchReport(context: context, rows: rows)
  }

  /// Marks what is to be used: of equal queries over one head's or distribution's keys, by length, search
  /// with the index out of the caches and attention together.
  static func choose(_ rows: inout [Row], _ tolerance: Double) {
    let kinds = Dictionary(grouping: rows.indices) { place in
      let row = rows[place]
      return "\(row.distribution) \(row.head ?? "") \(row.dim) \(row.queries)"
    }
    for places in kinds.values {
      let chooser = IndexChooser(
        places.compactMap { place in
          let row = rows[place]
          guard let index = IndexChooser.Index(rawValue: row.index) else { return nil }
          let search = index == .exact ? 0 : row.coldQueryNs
          return .init(
            index: index, keys: row.keys, nanoseconds: search + row.attendNs,
            error: row.outputError)
        })
      for place in places {
        let choice = chooser.choose(keys: rows[place].keys, tolerance: tolerance)
        rows[place].chosen = rows[place].index == choice.rawValue
      }
    }
  }

  /// One set of keys to measure, and how to come by it.
  struct Cell {
    let keys: Int
    let dimensions: Int
    let distribution: Distribution
    var head: String?
    let source: () throws(BenchError) -> any AttentionSource
  }

  /// Numbers of keys × dimensions; of a model's heads those that it has.
  private static func cells(
    _ distribution: Distribution, _ settings: Settings
  ) throws(BenchError) -> [Cell] {
    guard case .model(let path) = distribution else {
      return settings.keys.flatMap { keys in
        settings.dimensions.map { dimensions in
          Cell(keys: keys, dimensions: dimensions, distribution: distribution) {
            SyntheticAttention(dimensions: dimensions)
          }
        }
      }
    }
    let file: GGUFFile
    do {
      file = try GGUFFile(path: path)
    } catch {
      throw BenchError(.argument, "distribution 'model=\(path)': \(error)")
    }
    let heads = try DumpedAttention.heads(of: file)
    let cells = settings.keys.flatMap { keys in
      heads.filter { keys <= $0.positions && settings.dimensions.contains($0.dimensions) }.map {
        head in
        Cell(
          keys: keys, dimensions: head.dimensions, distribution: distribution,
          head: "\(head.layer).\(head.kvHead)"
        ) { () throws(BenchError) in try DumpedAttention(file, head, count: keys) }
      }
    }
    guard !cells.isEmpty else {
      throw BenchError(
        .argument,
        "\(path) has \(heads[0].positions) keys of \(heads[0].dimensions) dimensions; name fewer "
          + "with --keys, or its dimensions with --dim")
    }
    return cells
  }
}
