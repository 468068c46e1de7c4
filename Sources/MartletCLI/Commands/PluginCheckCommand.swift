import ArgumentParser
import Foundation
import Martlet
import MartletSimulation

/// `martlet plugin check`.
struct PluginCheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Checks that a plugin keeps the rules of plugin.h.",
    discussion: """
      Each case runs in a process of its own on a simulated model, so a crash or a hang fails one \
      case. Exits 1 if a case fails. PATH is a manifest, a library or a folder with one plugin.
      """)

  @Argument(help: "The plugin.")
  var path: String

  @Option(help: "Run one case in this process and print its report as JSON.")
  var `case`: PluginChecker.Case?

  @Option(parsing: .unconditional, help: "Seconds after which a case's process is killed.")
  var timeout: Double = 30

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The seed of every draw, as an earlier check named it. Default: another one each time.",
      valueName: "seed"))
  var reproduce: UInt64?

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      """
      An option for whoever declares it, where a case tries no other value: for plugins that refuse to \
      work without it. Repeatable.
      """, valueName: "key=value"))
  var settings: [String] = []

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    guard timeout > 0, timeout.isFinite else {
      throw ValidationError("--timeout \(timeout): give a positive number of seconds.")
    }
  }

  func run() async throws {
    guard FileManager.default.fileExists(atPath: path) else {
      throw CommandError(
        .input, "there is no plugin at \(path); name a manifest, library or folder")
    }
    // A random language; where time is at stake its sequences never end by themselves.
    let seed = reproduce ?? UInt64.random(in: 1...999_999)
    let options = Dictionary(try settings.map { try RunRequest.option($0) }) { $1 }
    let checker = PluginChecker(prompt: "?", seed: seed, options: options) { secondsPerForward in
      let isTimed = secondsPerForward > 0
      return SimulatedBackend(
        world: HashedWorld(seed: 5, endBias: isTimed ? -.infinity : 2.5),
        cost: SimulatedCost(perForward: secondsPerForward, sleeps: isTimed))
    }
    if let name = `case` {
      let report = await checker.runCase(name, path: path)
      print(report.json)
      // Not a return: a plugin's thread may hang for ever.
      _exit(report.passed ? 0 : 1)
    }
    let absolute = URL(fileURLWithPath: path).path
    let reports = await checker.runAll(
      path: path, timeout: .seconds(timeout),
      spawn: { name in
        (
          PluginSearchPath.currentExecutable,
          [
            "plugin", "check", absolute, "--case", name.rawValue, "--reproduce", String(seed),
          ] + settings.flatMap { ["--set", $0] }
        )
      },
      progress: { report in
        guard !json else { return }
        print("\(report.passed ? "passed" : "FAILED")  \(report.name.rawValue): \(report.detail)")
      })
    let failed = reports.count { !$0.passed }
    if json {
      try printJSON(reports)
    } else {
      print("\(reports.count - failed) passed, \(failed) failed")
      if failed > 0 {
        let set = settings.map { " --set '\($0.replacing("'", with: "'\\''"))'" }.joined()
        print("the same again: martlet plugin check \(path) --reproduce \(seed)\(set)")
      }
    }
    if failed > 0 { throw ExitCode.failure }
  }
}

extension PluginChecker.Case: ExpressibleByArgument {}
