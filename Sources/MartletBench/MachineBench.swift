import MartletKernels
import MartletMachine

/// Measures the limits of this machine that the other benchmarks compare with.
public enum MachineBench {
  /// One limit.
  public struct Row: BenchRow {
    /// `read`, `fma-f32`, `dot-bf16`, `dot-int8`.
    public let limit: String
    public let threads: Int
    /// 10⁹ bytes or operations per second.
    public let value: Double
    /// `GB/s` or `Gop/s`.
    public let unit: String
    /// The loop that reached it.
    public let loop: String

    public static let header = ["limit", "threads", "value", "unit", "loop"]
    public var cells: [String] { [limit, "\(threads)", short(value), unit, loop] }
  }

  /// Measures with one thread and with all of `team`.
  ///
  /// - Parameters:
  ///   - bytes: how much memory to read through; more than the last-level cache.
  ///   - rounds: the best of so many counts.
  /// - Throws: `BenchError`.
  public static func run(
    team: ThreadTeam, bytes: Int = MachineMeter.defaultBytes, rounds: Int = 10, version: String
  ) throws(BenchError) -> BenchReport<Row> {
    try BenchError.require("rounds", [rounds], in: 1...10_000)
    var context = BenchContext(
      bench: "machine", version: version, team: team,
      settings: ["bytes": "\(bytes)", "rounds": "\(rounds)"])
    let meter = try MachineMeter(team: team, bytes: bytes)
    var one = meter.measureOneThread(rounds: 1)
    var all = meter.measure(rounds: 1)
    for _ in 1..<rounds {
      one.keepBest(meter.measureOneThread(rounds: 1))
      all.keepBest(meter.measure(rounds: 1))
    }
    context.limits = all
    let measured = team.width > 1 ? [one, all] : [one]
    return BenchReport(context: context, rows: measured.flatMap(rows))
  }

  private static func rows(_ limits: MachineLimits) -> [Row] {
    let read = Row(
      limit: "read", threads: limits.threads, value: limits.readGbPerS, unit: "GB/s",
      loop: limits.readLoop)
    return [read]
      + MachineProbe.Unit.allCases.map { unit in
        let value =
          switch unit {
          case .float32: limits.fmaF32Gops
          case .bfloat16: limits.dotBf16Gops
          case .int8: limits.dotInt8Gops
          }
        return Row(
          limit: unit.rawValue, threads: limits.threads, value: value, unit: "Gop/s",
          loop: unit.loop)
      }
  }
}
