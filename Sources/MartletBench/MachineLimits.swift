import MartletKernels

/// What this machine was measured to do at most with some number of threads, in units of 10⁹ per
/// second. Memory limits are for data that no cache holds.
public struct MachineLimits: Codable, Sendable, Equatable {
  /// Threads that took part.
  public var threads: Int
  /// Bytes read from memory, 10⁹ per second.
  public var readGbPerS: Double
  /// The loop shape that read fastest.
  public var readLoop: String
  /// float32 multiply-adds, 10⁹ operations per second (two per multiply-add, here and below).
  public var fmaF32Gops: Double
  /// bf16 dot products.
  public var dotBf16Gops: Double
  /// int8 dot products.
  public var dotInt8Gops: Double
  /// The instructions that gave the three.
  public var loops: [String]

  /// Limits that are known.
  public init(
    threads: Int, readGbPerS: Double, fmaF32Gops: Double, dotBf16Gops: Double,
    dotInt8Gops: Double, readLoop: String = "", loops: [String] = []
  ) {
    self.threads = threads
    self.readGbPerS = readGbPerS
    self.fmaF32Gops = fmaF32Gops
    self.dotBf16Gops = dotBf16Gops
    self.dotInt8Gops = dotInt8Gops
    self.readLoop = readLoop
    self.loops = loops
  }

  /// Operations per second of `unit`: its own rate, or that of float32 where the CPU has nothing
  /// faster for it.
  public func operationsPerSecond(_ unit: MachineProbe.Unit) -> Double {
    switch unit {
    case .float32: fmaF32Gops * 1e9
    case .bfloat16: max(dotBf16Gops, fmaF32Gops) * 1e9
    case .int8: max(dotInt8Gops, fmaF32Gops) * 1e9
    }
  }

  /// Keeps the better of two measurements, value by value: whatever else ran on the machine can only
  /// have lowered them.
  public mutating func keepBest(_ other: MachineLimits) {
    if other.readGbPerS > readGbPerS {
      readGbPerS = other.readGbPerS
      readLoop = other.readLoop
    }
    fmaF32Gops = max(fmaF32Gops, other.fmaF32Gops)
    dotBf16Gops = max(dotBf16Gops, other.dotBf16Gops)
    dotInt8Gops = max(dotInt8Gops, other.dotInt8Gops)
  }

  /// The median of each value; nil of none.
  public static func median(_ probes: [MachineLimits]) -> MachineLimits? {
    guard var median = probes.last else { return nil }
    median.readGbPerS = Samples.median(probes.map(\.readGbPerS))
    median.fmaF32Gops = Samples.median(probes.map(\.fmaF32Gops))
    median.dotBf16Gops = Samples.median(probes.map(\.dotBf16Gops))
    median.dotInt8Gops = Samples.median(probes.map(\.dotInt8Gops))
    return median
  }
}
