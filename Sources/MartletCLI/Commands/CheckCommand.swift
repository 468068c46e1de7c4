import ArgumentParser
import Foundation
import Martlet

/// `martlet check …`.
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Checks this build on this machine.",
    subcommands: [CheckKernelsCommand.self])
}

/// `martlet check kernels`.
struct CheckKernelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels",
    abstract: "Checks every kernel variant this CPU can run against the reference, and times it.",
    discussion: """
      One row per variant: the calls compared, whether all were right, and its time against the \
      compiled reference. `of peak` is the share of a memory copy, or of the float32 multiply-add \
      rate, measured in the same run; int8 products can pass 100 %. Exits 1 if a check fails; each \
      failure prints the command that replays it.
      """)

  @Option(help: "Only variants whose family, operation, isa or name contains this.")
  var filter: String?

  @Option(parsing: .unconditional, help: "The seed of all random inputs.")
  var seed: UInt64 = 1

  @Flag(help: "Skip the timings.")
  var noTimings = false

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    try ISA.validate()
    let progress = Progress("checking kernels")
    let report = try KernelCheckReport.run(filter: filter, seed: seed, timings: !noTimings) {
      progress.update($0, note: $1)
    }
    progress.finish()
    if json {
      try printJSON(report)
    } else {
      print(report.table)
      for failure in report.failures { print("FAILED \(failure)") }
      print("\(report.passed) passed, \(report.failed) failed, \(report.skipped) skipped")
    }
    if report.failed > 0 { throw ExitCode.failure }
  }
}
