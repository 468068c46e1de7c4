import Foundation
import MartletScaling
import MartletSimulation

// Runs one conformance case on a random language and prints its report: what
// `martlet plugin check PATH --case NAME` does, small enough for the tests to start.

guard (3...4).contains(CommandLine.arguments.count),
  let name = PluginChecker.Case(rawValue: CommandLine.arguments[2])
else {
  FileHandle.standardError.write(Data("usage: PluginProbe PATH CASE [SEED]\n".utf8))
  exit(64)
}
let seed = CommandLine.arguments.dropFirst(3).first.flatMap { UInt64($0) } ?? 20_260_901
let checker = PluginChecker(prompt: "?", grace: .milliseconds(500), seed: seed) {
  secondsPerForward in
  SimulatedBackend(
    world: HashedWorld(seed: 5, endBias: secondsPerForward > 0 ? -.infinity : 2.5),
    cost: SimulatedCost(perForward: secondsPerForward, sleeps: secondsPerForward > 0))
}
let report = await checker.runCase(name, path: CommandLine.arguments[1])
print(report.json)
// Not a return: a plugin's thread may hang for ever.
fflush(nil)
_exit(report.passed ? 0 : 1)
