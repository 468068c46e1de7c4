import MartletKernels
import MartletMachine

/// Measures the limits of this machine, as often as asked: hosts drift, so a benchmark measures
/// between its own samples and keeps the best.
public final class MachineMeter {
  /// Bytes that reading goes through, more than any cache holds.
  public static let defaultBytes = 512 << 20

  private let team: ThreadTeam
  private let memory: AlignedMemory
  private let shapes = MachineProbe.readShapes

  /// A meter on `team`, whose workers touch their parts of the memory first.
  /// - Throws: `BenchError` `.argument` for a size below 1 MiB or above 1 TiB, `.system` without
  ///   memory.
  public init(team: ThreadTeam, bytes: Int = MachineMeter.defaultBytes) throws(BenchError) {
    try BenchError.require("memory bytes", [bytes], in: 1 << 20...1 << 40)
    self.team = team
    do throws(KernelError) {
      memory = try AlignedMemory(byteCount: bytes & ~4095)
    } catch {
      throw BenchError(.system, "measuring reads: \(error); choose fewer --megabytes")
    }
    let memory = memory
    team.run { [width = team.width] worker in
      let range = workerRange(worker, of: width, count: memory.byteCount, granularity: 4096)
      // Untouched pages all read as the one page of zeros, which would be in cache.
      memory.withBytes { bytes in
        for offset in stride(from: range.lowerBound, to: range.upperBound, by: 4096) {
          bytes[offset] = 1
        }
      }
    }
  }

  /// The best of `rounds` rounds on all threads of the team.
  public func measure(rounds: Int = 5) -> MachineLimits { measure(team, rounds: rounds) }

  /// The best of `rounds` rounds on the calling thread alone.
  public func measureOneThread(rounds: Int = 5) -> MachineLimits {
    measure(SerialFor(), rounds: rounds)
  }

  private func measure(_ team: some ParallelFor, rounds: Int) -> MachineLimits {
    var best = MachineLimits(
      threads: team.width, readGbPerS: 0, fmaF32Gops: 0, dotBf16Gops: 0, dotInt8Gops: 0,
      loops: MachineProbe.Unit.allCases.map { "\($0.rawValue): \($0.loop)" })
    let steps = MachineProbe.Unit.allCases.map(steps)
    for _ in 0..<max(1, rounds) {
      for shape in shapes.indices {
        let rate = readRate(team, shape)
        if rate > best.readGbPerS {
          best.readGbPerS = rate
          best.readLoop = shapes[shape]
        }
      }
      for (unit, steps) in zip(MachineProbe.Unit.allCases, steps) {
        let rate = arithmeticRate(team, unit, steps)
        switch unit {
        case .float32: best.fmaF32Gops = max(best.fmaF32Gops, rate)
        case .bfloat16: best.dotBf16Gops = max(best.dotBf16Gops, rate)
        case .int8: best.dotInt8Gops = max(best.dotInt8Gops, rate)
        }
      }
    }
    return best
  }

  private func readRate(_ team: some ParallelFor, _ shape: Int) -> Double {
    let memory = memory
    let begin = monotonicNanoseconds()
    // Parts are multiples of 32 KiB so that every stream of a loop shape is whole.
    team.split(memory.byteCount, granularity: 32_768) {
      MachineProbe.read(memory, $0.lowerBound..<$0.upperBound & ~4095, shape: shape)
    }
    return Double(memory.byteCount) / Double(monotonicNanoseconds() - begin)
  }

  private func arithmeticRate(
    _ team: some ParallelFor, _ unit: MachineProbe.Unit, _ steps: Int
  ) -> Double {
    let begin = monotonicNanoseconds()
    team.run { _ in _ = MachineProbe.arithmetic(unit, steps: steps) }
    let taken = Double(monotonicNanoseconds() - begin)
    return MachineProbe.arithmetic(unit, steps: 1) * Double(steps) * Double(team.width) / taken
  }

  /// Steps that take about three milliseconds: long beside a barrier, short beside a time slice.
  private func steps(_ unit: MachineProbe.Unit) -> Int {
    var steps = 1_000
    while true {
      let begin = monotonicNanoseconds()
      _ = MachineProbe.arithmetic(unit, steps: steps)
      if monotonicNanoseconds() - begin > 1_000_000 || steps > 1 << 30 { return steps * 3 }
      steps *= 2
    }
  }
}
