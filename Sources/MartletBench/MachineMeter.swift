import MartletKernels
import MartletMachine

/// Measures the limits of this machine as often as asked: hosts drift, so a benchmark probes between
/// its own samples.
public final class MachineMeter {
  /// Bytes that reading goes through, more than any cache holds.
  public static let defaultBytes = 512 << 20

  private let team: ThreadTeam
  private let memory: AlignedMemory
  private let shapes = MachineProbe.readShapes
  private lazy var plan = makeProbePlan()

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

  // MARK: Long measurements

  /// The best of `rounds` rounds on all threads of the team: every loop shape over the whole memory.
  public func measure(rounds: Int = 5) -> MachineLimits { measure(team, rounds: rounds) }

  /// The best of `rounds` rounds on the calling thread alone.
  public func measureOneThread(rounds: Int = 5) -> MachineLimits {
    measure(SerialFor(), rounds: rounds)
  }

  private func measure(_ team: some ParallelFor, rounds: Int) -> MachineLimits {
    var best = nothing(team)
    let steps = MachineProbe.Unit.allCases.map { 3 * Self.millisecondSteps($0) }
    for _ in 0..<max(1, rounds) {
      for shape in shapes.indices { best.keep(readRate(team, shape), by: shapes[shape]) }
      for (unit, steps) in zip(MachineProbe.Unit.allCases, steps) {
        best.keep(arithmeticRate(team, unit, steps), unit)
      }
    }
    return best
  }

  // MARK: Short probes

  /// What the machine can do right now on all threads of the team, in some fifteen milliseconds.
  ///
  /// Best of six passes of reading and of two for each unit of arithmetic, each of one to two
  /// milliseconds: long beside a barrier, and short, so that what interrupts one pass spares another.
  /// Reading moves on through the memory, so that no pass finds in cache what an earlier one read.
  public func probe() -> MachineLimits {
    var best = nothing(team)
    // Parked workers wake before the clock starts.
    team.run { _ in }
    for _ in 0..<2 {
      for shape in plan.shapes {
        best.keep(readRate(team, shape, plan.windows.next()), by: shapes[shape])
      }
      for (unit, steps) in zip(MachineProbe.Unit.allCases, plan.steps) {
        best.keep(arithmeticRate(team, unit, steps), unit)
      }
    }
    return best
  }

  private struct ProbePlan {
    /// The three loop shapes that read fastest when the meter was first asked.
    var shapes: [Int]
    var windows: ReadWindows
    /// By unit.
    var steps: [Int]
  }

  private func makeProbePlan() -> ProbePlan {
    var rates = shapes.map { _ in 0.0 }
    for _ in 0..<3 {
      for shape in shapes.indices { rates[shape] = max(rates[shape], readRate(team, shape)) }
    }
    let ranked = shapes.indices.sorted { rates[$0] > rates[$1] }
    let part = memory.byteCount / team.width
    let wanted = Int((rates.max() ?? 0) * 1.5e6) / team.width
    return ProbePlan(
      shapes: Array(ranked.prefix(3)), windows: ReadWindows(part: part, wanted: wanted),
      steps: MachineProbe.Unit.allCases.map(Self.millisecondSteps))
  }

  // MARK: Passes

  private func nothing(_ team: some ParallelFor) -> MachineLimits {
    MachineLimits(
      threads: team.width, readGbPerS: 0, fmaF32Gops: 0, dotBf16Gops: 0, dotInt8Gops: 0,
      loops: MachineProbe.Unit.allCases.map { "\($0.rawValue): \($0.loop)" })
  }

  /// 10⁹ bytes per second over every worker's part, or over a window of it.
  private func readRate(
    _ team: some ParallelFor, _ shape: Int, _ window: Range<Int>? = nil
  ) -> Double {
    let memory = memory
    let width = team.width
    let begin = monotonicNanoseconds()
    team.run { worker in
      let part = workerRange(worker, of: width, count: memory.byteCount, granularity: 4096)
      let own = window.map { Self.pages($0, in: part) } ?? part
      MachineProbe.read(memory, own, shape: shape)
    }
    let taken = Double(monotonicNanoseconds() - begin)
    let bytes = (0..<width).reduce(0) { sum, worker in
      let part = workerRange(worker, of: width, count: memory.byteCount, granularity: 4096)
      return sum + (window.map { Self.pages($0, in: part) } ?? part).count
    }
    return Double(bytes) / taken
  }

  private static func pages(_ window: Range<Int>, in part: Range<Int>) -> Range<Int> {
    let begin = min(part.lowerBound + window.lowerBound, part.upperBound)
    return begin..<min(part.lowerBound + window.upperBound, part.upperBound)
  }

  private func arithmeticRate(
    _ team: some ParallelFor, _ unit: MachineProbe.Unit, _ steps: Int
  ) -> Double {
    let begin = monotonicNanoseconds()
    team.run { _ in _ = MachineProbe.arithmetic(unit, steps: steps) }
    let taken = Double(monotonicNanoseconds() - begin)
    return MachineProbe.arithmetic(unit, steps: 1) * Double(steps) * Double(team.width) / taken
  }

  /// Steps that take one to two milliseconds.
  private static func millisecondSteps(_ unit: MachineProbe.Unit) -> Int {
    var steps = 1_000
    while true {
      let begin = monotonicNanoseconds()
      _ = MachineProbe.arithmetic(unit, steps: steps)
      if monotonicNanoseconds() - begin > 1_000_000 || steps > 1 << 30 { return steps }
      steps *= 2
    }
  }
}

/// Parts of each worker's memory in turn: whole pages, each as long as the others.
package struct ReadWindows {
  /// Bytes of a window.
  package let length: Int
  /// Windows before the first comes again.
  package let count: Int
  private var index = 0

  /// Windows of about `wanted` of `part` bytes. They divide it so that as much as there is lies
  /// between two reads of one; at most one takes the whole.
  package init(part: Int, wanted: Int) {
    let pages = max(1, part / 4096)
    let own = min(pages, max(1, (wanted + 4095) / 4096))
    count = pages / own
    length = own * 4096
  }

  /// The next window, as an offset into a part.
  package mutating func next() -> Range<Int> {
    defer { index = (index + 1) % count }
    return index * length..<(index + 1) * length
  }
}

extension MachineLimits {
  fileprivate mutating func keep(_ rate: Double, by loop: String) {
    guard rate > readGbPerS else { return }
    readGbPerS = rate
    readLoop = loop
  }

  fileprivate mutating func keep(_ rate: Double, _ unit: MachineProbe.Unit) {
    switch unit {
    case .float32: fmaF32Gops = max(fmaF32Gops, rate)
    case .bfloat16: dotBf16Gops = max(dotBf16Gops, rate)
    case .int8: dotInt8Gops = max(dotInt8Gops, rate)
    }
  }
}
