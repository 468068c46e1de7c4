import MartletKernels
import MartletMachine

/// Measures decoding attention: KV heads × group × positions × KV type × branches × threads.
public enum AttentionBench {
  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    public var kvHeads = [8]
    /// Query heads per KV head.
    public var groups = [1, 4, 8]
    public var headDimensions = 128
    /// Positions that every branch sees.
    public var positions = [4096, 32768]
    public var kvTypes: [KVType] = [.f16]
    /// Branches, which share all pages but their last.
    public var branches = [1, 16]
    /// Thread counts; nil is as many as the machine calls for.
    public var threads: [Int?] = [1]
    /// Samples; cells over one set of pages take turns.
    public var repetitions = 10
    public var command = "martlet bench attention"
    public var version = ""

    public init() {}

    func validate() throws(BenchError) {
      try BenchError.require("kv heads", kvHeads, in: 1...1024)
      try BenchError.require("group", groups, in: 1...64)
      try BenchError.require("head dimensions", [headDimensions], in: 1...256)
      try BenchError.require("positions", positions, in: 1...1 << 22)
      try BenchError.require("branches", branches, in: 1...4096)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
      try BenchError.require(
        "threads", threads.map { $0 ?? 1 }, in: 1...PlacementPlan.maximumThreads)
      guard !kvTypes.isEmpty else { throw BenchError(.argument, "the list of KV types is empty") }
    }
  }

  /// One step of attention in one layer.
  public struct Row: BenchRow {
    public let kvHeads: Int
    public let group: Int
    public let headDimensions: Int
    public let positions: Int
    public let kvType: String
    public let branches: Int
    public let threads: Int
    public let variant: String
    public let medianNs: Double
    public let minNs: Double
    /// 95 % interval of the median.
    public let lowNs: Double
    public let highNs: Double
    public let samplesNs: [Double]
    /// Keys and values of the shared positions once.
    public let bytes: Double
    /// 4 · branches · query heads · head dimensions · positions.
    public let operations: Double
    public let fractionOfLimit: Double
    public let command: String

    public static let header = [
      "KV heads", "group", "positions", "KV type", "branches", "threads", "µs", "GB/s", "Gop/s",
      "of limit",
    ]
    public var cells: [String] {
      [
        "\(kvHeads) × \(headDimensions)", "\(group)", "\(positions)", kvType, "\(branches)",
        "\(threads)", short(medianNs / 1e3), short(bytes / medianNs),
        short(operations / medianNs), short(fractionOfLimit),
      ]
    }
  }

  static let formula = """
    limit = max(bytes / read bandwidth, operations / fp32 FMA peak), both measured in this run with \
    as many threads; bytes = keys and values of one branch once, as pages hold them; operations = 4 \
    x branches x query heads x head dimensions x positions; fraction_of_limit = limit / median. \
    Pages in cache can pass 1
    """

  /// Runs the benchmark.
  /// - Throws: `BenchError`, `KernelError`, `MachineError`.
  public static func run(
    _ settings: Settings, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try settings.validate()
    var rows: [Row] = []
    var context: BenchContext?
    let pages = settings.kvHeads.flatMap { heads in
      settings.kvTypes.flatMap { type in settings.positions.map { (heads, type, $0) } }
    }
    let total = Double(pages.count * settings.threads.count)
    var done = 0.0
    for threads in settings.threads {
      let team = try ThreadTeam(threads: threads)
      let meter = try MachineMeter(team: team)
      var limits = meter.measure()
      for (heads, type, positions) in pages {
        progress(done / total, "\(positions) positions, \(team.width) threads")
        let attention = try AttentionBenchCase(
          kvHeads: heads, type: type, positions: positions, settings, team)
        let samples = attention.measure()
        limits.keepBest(meter.measure(rounds: 1))
        rows += attention.rows(samples, limits)
        done += 1
      }
      var own = BenchContext(bench: "attention", version: settings.version, team: team)
      own.date = context?.date ?? own.date
      own.limits = limits
      own.formula = formula
      own.settings = ["repetitions": "\(settings.repetitions)"]
      context = own
    }
    guard let context else { throw BenchError(.argument, "threads is empty; give a value") }
    return BenchReport(context: context, rows: rows)
  }
}
