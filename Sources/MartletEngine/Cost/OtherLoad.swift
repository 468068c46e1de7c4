import Foundation

/// Tells whether other processes took CPU time since it was made, so that what was measured
/// meanwhile is not believed for weeks.
struct OtherLoad {
  private let before = Reading()

  /// Whether others took less than a tenth of one CPU, give or take the clock's grain. True where
  /// the system does not tell.
  var isQuiet: Bool {
    guard let before, let now = Reading() else { return true }
    let others = (now.busy - before.busy) - (now.own - before.own)
    return others <= max(0.1 * (now.wall - before.wall), Reading.grain)
  }

  private struct Reading {
    /// Seconds that all CPUs were busy, that this process used, and that passed.
    let busy: Double
    let own: Double
    let wall: Double

    /// The kernel counts in ticks of a hundredth; a few may fall on either side.
    static let grain = 0.04

    init?() {
      guard let text = try? String(contentsOfFile: "/proc/stat", encoding: .utf8),
        let line = text.split(separator: "\n").first, line.hasPrefix("cpu ")
      else { return nil }
      let ticks = line.split(separator: " ").dropFirst().compactMap { Double($0) }
      guard ticks.count >= 8 else { return nil }
      // user, nice, system, -idle, -iowait, irq, softirq, steal; guests are inside user.
      let sum = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]
      busy = sum / Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
      own = Self.seconds(CLOCK_PROCESS_CPUTIME_ID)
      wall = Self.seconds(CLOCK_MONOTONIC)
    }

    private static func seconds(_ clock: clockid_t) -> Double {
      var time = timespec()
      clock_gettime(clock, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
  }
}
