import Foundation
import MartletKernels
import MartletMachine

/// Measures matrix products: weight types × shapes × numeric classes × threads × cache states × rows.
public enum GemmBench {
  /// Whether the weights may be in cache when a product begins.
  public enum CacheState: String, CaseIterable, Codable, Sendable {
    /// The same weights each time.
    case warm
    /// As many copies in turn as the last-level cache cannot hold.
    case cold
  }

  /// What to measure; lists run as a product.
  public struct Settings: Sendable, KernelBenchSettings {
    public var types: [WeightType] = [.q4_0, .q8_0, .bf16]
    /// Rows of activations: tokens in a batch.
    public var rows = [1, 2, 4, 8, 16, 64, 512]
    /// Outputs and depth.
    public var shapes = [(outputs: 4096, depth: 14336)]
    public var numericClasses: [NumericClass] = [.portable]
    /// Thread counts; nil is as many as the machine calls for.
    public var threads: [Int?] = [1, nil]
    public var cacheStates: [CacheState] = [.cold]
    /// Adds OpenBLAS on float32 weights, a row per shape, threads, cache state and rows.
    public var openBLAS = false
    /// Samples; rows of one weight take turns.
    public var repetitions = 10
    /// The command without its list options.
    public var command = "martlet bench gemm"
    public var version = ""

    public init() {}

    func validate() throws(BenchError) {
      try BenchError.require("rows", rows, in: 1...65_536)
      try validateRuns()
      try BenchError.require("outputs", shapes.map(\.outputs), in: 1...1 << 20)
      try BenchError.require("depth", shapes.map(\.depth), in: 1...1 << 20)
      guard !types.isEmpty, !numericClasses.isEmpty, !cacheStates.isEmpty else {
        throw BenchError(.argument, "a list of types, classes or cache states is empty")
      }
      for type in types {
        for shape in shapes where shape.depth % type.blockElements != 0 {
          throw BenchError(
            .argument,
            "depth \(shape.depth) is no multiple of \(type.name)'s block of \(type.blockElements)")
        }
      }
    }
  }

  /// One product; a sample is the mean over a few milliseconds of them.
  public struct Cell: TimedCell {
    public let type: String
    public let rows: Int
    public let outputs: Int
    public let depth: Int
    public let numericClass: String
    /// The kernel that served.
    public let variant: String
    public let cache: CacheState

    public static let header = [
      "type", "rows", "outputs × depth", "variant", "threads", "cache", "µs", "GB/s", "Gop/s",
      "of limit",
    ]
    public func texts(_ row: TimedRow<Cell>) -> [String] {
      [
        type, "\(rows)", "\(outputs) × \(depth)", variant, "\(row.threads)", cache.rawValue,
        short(row.medianNs / 1e3), short(row.bytes / row.medianNs),
        short(row.operations / row.medianNs), short(row.fractionOfLimit),
      ]
    }
  }

  /// A row of the report. Bytes are those of the weights as a file holds them, and of activations and
  /// outputs in float32; operations are 2 · rows · outputs · depth.
  public typealias Row = TimedRow<Cell>

  static let formula = """
    limit = max(bytes / read bandwidth, operations / peak), both measured beside each sample with as \
    many threads; bytes = weights as a file stores them + 4 x rows x (depth + outputs); operations = \
    2 x rows x outputs x depth (int8 peak for quantised weights, bf16 dot peak for bf16, fp32 FMA \
    peak for others); fraction_of_limit = median of limit / sample. Weights in cache can pass 1. \
    Activations are prepared before the clock starts
    """

  /// Runs the benchmark.
  /// - Throws: `BenchError`, `KernelError`, `MachineError`.
  public static func run(
    _ settings: Settings, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try settings.validate()
    var products = settings.types.flatMap { type in
      settings.numericClasses.map { (type: type, numericClass: $0) }
    }
    if settings.openBLAS { products.append((.f32, .openBLAS)) }
    let operands = settings.shapes.flatMap { shape in
      products.map { type, numericClass in
        (MatrixShape(type: type, outputs: shape.outputs, depth: shape.depth), numericClass)
      }
    }
    return try KernelBench.run(
      "gemm", settings, formula: formula, operands: operands, progress: progress,
      describe: { $0.0.type.name }
    ) { operand, team, sampler in
      try GemmBenchCase(operand.0, operand.1, settings, team).measure(&sampler)
    }
  }
}
