import Foundation
import MartletMachine
import Testing

/// Another process takes one of the CPUs while small parallel loops run one after another, as in
/// decoding. Engines whose workers spin at a barrier until everybody came fall by ten times here.
@Suite(.serialized, .enabled(if: ((try? Topology.current().usableCPUs) ?? 1) >= 2))
struct ContentionTests {
  /// Which of the team's CPUs the other process is bound to: the caller's or a worker's.
  @Test(arguments: [0, 1]) func aBusyNeighbourLeavesMostOfTheSpeed(worker: Int) throws {
    let team = try ThreadTeam(threads: 2)
    let cpu = try #require(team.plan.workers[worker].cpu)
    // Quiet at the limit is 1; fair shares of one CPU and the whole other would be 0.75. Other
    // tests run beside this one, so the best of a few tries counts.
    let floor = 0.4
    var ratios: [Double] = []
    while ratios.count < 8, ratios.max() ?? 0 < floor {
      let quiet = Self.stepsPerSecond(team, seconds: 0.3)
      let neighbour = try Neighbour(cpu: cpu)
      _ = Self.stepsPerSecond(team, seconds: 0.1)
      let crowded = Self.stepsPerSecond(team, seconds: 0.6)
      neighbour.stop()
      ratios.append(crowded / quiet)
    }
    #expect(ratios.max() ?? 0 >= floor, "fractions of the quiet speed: \(ratios)")
  }

  /// 16 layers of loops of some 10 to 200 microseconds.
  private static func stepsPerSecond(_ team: ThreadTeam, seconds: Double) -> Double {
    let begin = monotonicNanoseconds()
    var steps = 0
    var elapsed = 0.0
    while elapsed < seconds {
      for _ in 0..<16 {
        for units in [8, 64, 8, 32, 8, 160, 80] {
          team.forEachChunk(count: units, grain: max(1, units / 8)) { range in
            var x = 1.0
            for index in range { for step in 0..<1000 { x = x * 1.0000001 + Double(index + step) } }
            if x < 0 { print(x) }
          }
        }
      }
      steps += 1
      elapsed = Double(monotonicNanoseconds() - begin) / 1e9
    }
    return Double(steps) / elapsed
  }
}

/// A process that does nothing but run, bound to one CPU.
private final class Neighbour {
  private let process = Process()

  init(cpu: Int) throws {
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "while :; do :; done"]
    // A process inherits the CPUs of the thread that starts it.
    let before = try Affinity.current()
    try Affinity.set([cpu])
    defer { try? Affinity.set(before) }
    try process.run()
  }

  func stop() {
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  deinit { if process.isRunning { stop() } }
}
