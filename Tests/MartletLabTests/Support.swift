import Foundation
import MartletEngine
import MartletLab
import MartletScaling
import MartletSimulation
import Synchronization

/// The plugins that the build put beside the tests.
let shipped = PluginHost()

/// A session on a simulated world.
func makeSession(
  _ world: any SimulatedWorld, plugins: PluginHost = shipped
) throws -> ScalingSession {
  let engine = try Engine(backend: SimulatedBackend(world: world, contextLength: 4096))
  return ScalingSession(engine: engine, plugins: plugins, model: "simulation")
}

/// Answers 4 more often than 5, with one step on the way; half of the right ones end in a wrong unit.
let sumWorld: ScriptedWorld = {
  // swift-format-ignore: NeverUseForceTry
  try! ScriptedWorld(
    script: """
      prompt "2+2="
      start: " so" 1 -> think
      think: " #4" 0.6 -> right, " #5" 0.4 -> wrong
      right: reward 1
      wrong: reward 0
      """)
}()

/// Problems that the simulated world reads alike: it does not look at the prompt.
func sumSuite(_ count: Int) -> Suite {
  Suite(
    name: "sums",
    problems: (1...count).map {
      Problem(
        id: "sum-\($0)", question: sumWorld.prompt, group: $0 % 2 == 0 ? "even" : "odd",
        expected: "4", check: TextCheck(expected: "4"))
    })
}

func sampleRecord(problem: String, strategy: String, seed: Int = 1) -> RunRecord {
  RunRecord(
    problem: problem, group: "g", question: "2+2=", expected: "4", strategy: strategy, options: [:],
    budget: "none", seed: seed, runSeed: "7", stoppedBecause: "finished")
}

/// A folder for one test, gone after it.
final class TemporaryFolder {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("martlet-lab-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and gives its path.
  func write(_ text: String, to name: String) throws -> String {
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
    return "\(path)/\(name)"
  }
}

/// Times that are told one after the other.
final class TimeList: Sendable {
  private let times: Mutex<[Double]>

  init(_ times: [Double]) { self.times = Mutex(times) }

  func next() -> Double { times.withLock { $0.removeFirst() } }
}
