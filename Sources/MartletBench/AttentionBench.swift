import MartletKernels
import MartletMachine

/// Measures decoding attention: KV heads × group × positions × KV type × branches × threads.
public enum AttentionBench {
  /// What to measure; lists run as a product.
  public struct Settings: Sendable, KernelBenchSettings {
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
      try validateRuns()
      guard !kvTypes.isEmpty else { throw BenchError(.argument, "the list of KV types is empty") }
    }
  }

  /// One step of attention in one layer.
  public struct Cell: TimedCell {
    public let kvHeads: Int
    public let group: Int
    public let headDimensions: Int
    public let positions: Int
    public let kvType: String
    public let branches: Int
    /// The kernel that served.
    public let variant: String

    public static let header = [
      "KV heads", "group", "positions", "KV type", "branches", "threads", "µs", "GB/s", "Gop/s",
      "of limit",
    ]
    public func texts(_ row: TimedRow<Cell>) -> [String] {
      [
        "\(kvHeads) × \(headDimensions)", "\(group)", "\(positions)", kvType, "\(branches)",
        "\(row.threads)", short(row.medianNs / 1e3), short(row.bytes / row.medianNs),
        short(row.operations / row.medianNs), short(row.fractionOfLimit),
      ]
    }
  }

  /// A row of the report. Bytes are those of the keys and values of the shared positions once;
  /// operations are 4 · branches · query heads · head dimensions · positions.
  public typealias Row = TimedRow<Cell>

  static let formula = """
    limit = max(bytes / read bandwidth, operations / fp32 FMA peak), both measured beside each sample \
    with as many threads; bytes = keys and values of one branch once, as pages hold them; operations \
    = 4 x branches x query heads x head dimensions x positions; fraction_of_limit = median of limit / \
    sample. Pages in cache can pass 1
    """

  /// Runs the benchmark.
  /// - Throws: `BenchError`, `KernelError`, `MachineError`.
  public static func run(
    _ settings: Settings, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try settings.validate()
    let pages = settings.kvHeads.flatMap { heads in
      settings.kvTypes.flatMap { type in
        settings.positions.map { (heads: heads, type: type, positions: $0) }
      }
    }
    return try KernelBench.run(
      "attention", settings, formula: formula, operands: pages, progress: progress,
      describe: { "\($0.positions) positions" }
    ) { pages, team, sampler in
      try AttentionBenchCase(
        kvHeads: pages.heads, type: pages.type, positions: pages.positions, settings, team
      ).measure(&sampler)
    }
  }
}
