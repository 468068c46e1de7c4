import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench machine`.
struct BenchMachineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "machine",
    abstract: "Measures the limits of this machine: memory reads and peak arithmetic.",
    discussion: "The best of several rounds and loop shapes counts, with one thread and with all.")

  @Option(help: "Threads; as many as the machine calls for if not given.")
  var threads: Int?

  @Option(help: "Memory to read through, MiB; more than the last-level cache holds.")
  var megabytes = MachineMeter.defaultBytes >> 20

  @Option(help: "Rounds of which the best counts.")
  var rounds = 10

  @OptionGroup var options: BenchOptions

  func run() throws {
    try ISA.validate()
    let (bytes, overflow) = megabytes.multipliedReportingOverflow(by: 1 << 20)
    let team = try ThreadTeam(threads: threads)
    let report = try options.refusing {
      try MachineBench.run(
        team: team, bytes: overflow ? .max : bytes, rounds: rounds,
        version: MartletCommand.configuration.version)
    }
    try options.show(report)
  }
}
