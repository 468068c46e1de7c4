import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench contention`.
struct BenchContentionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "contention",
    abstract: "Measures decoding while another process burns one of the CPUs in use.",
    discussion: """
      `ratio` is contended over quiet throughput. `park` is how the engine's workers wait; `spin` is \
      what a pure spin barrier would do, for comparison.
      """,
    subcommands: [BurnCommand.self])

  @OptionGroup var model: ModelOptions

  @Option(help: "How workers wait for each other: park, spin.")
  var barrier = WordList(["park", "spin"])

  @Option(help: "Numbers of branches.")
  var width = NumberList([1, 8])

  @Option(help: "Tokens of the prompt that the branches share.")
  var prompt = 128

  @Option(help: "Tokens that each branch generates per sample.")
  var generate = 32

  @Option(help: "Samples per row; quiet and contended take turns.")
  var repetitions = 5

  @OptionGroup var options: BenchOptions

  func run() throws {
    var settings = ContentionBench.Settings(
      burner: [try ownProgram(), "bench", "contention", "burn", "--cpu"])
    settings.barriers = try barrier.parse("--barrier", ContentionBench.Barrier.self)
    settings.widths = width.values
    settings.prompt = prompt
    settings.generate = generate
    settings.repetitions = repetitions
    settings.version = MartletCommand.configuration.version
    settings.command = model.command("martlet bench contention") + " --repetitions \(repetitions)"

    let session = try model.open(tuning: .off)
    let progress = Progress("measuring")
    let report = try options.refusing {
      try ContentionBench.run(settings, session: session) { progress.update($0, note: $1) }
    }
    progress.finish()
    try options.show(report)
  }
}

/// `martlet bench contention burn`: the other process.
struct BurnCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "burn", abstract: "Burns a CPU until the program that started it ends.",
    shouldDisplay: false)

  @Option(help: "The CPU.")
  var cpu: Int

  func run() throws { try ContentionBench.burn(cpu: cpu) }
}
