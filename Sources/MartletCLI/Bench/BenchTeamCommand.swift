import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench team`.
struct BenchTeamCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "team",
    abstract: "Measures what it costs that branches read one another.",
    discussion: """
      A step of a team's members against one of as many plain branches that have as much text each, in \
      turns. A member sees the prompt and all blocks, a plain branch the prompt and its own.
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: "Numbers of members.")
  var members = NumberList([2, 4])

  @Option(help: "Tokens of the prompt that all share.")
  var prompt = 1024

  @Option(help: "Tokens of each member's own at first.")
  var each = 256

  @Option(help: "In which order a member sees what there is: contiguous, interleaved or combined.")
  var layout = "contiguous"

  @Option(help: "Tokens of each branch per sample of time.")
  var generate = 8

  @Option(help: "Samples of time per row.")
  var repetitions = 9

  @OptionGroup var options: BenchOptions

  func run() throws {
    guard let layout = Team.Layout(rawValue: layout) else {
      throw ValidationError(
        "there is no layout '\(layout)'; choose contiguous, interleaved or combined")
    }
    var settings = TeamBench.Settings()
    settings.members = members.values
    settings.prompt = prompt
    settings.each = each
    settings.layout = layout
    settings.generate = generate
    settings.repetitions = repetitions
    settings.version = MartletCommand.configuration.version
    settings.command = model.command("martlet bench team")
    let session = try model.open(tuning: .off)
    let progress = Progress("measuring")
    let report = try options.refusing {
      try TeamBench.run(settings, session: session) { progress.update($0, note: $1) }
    }
    progress.finish()
    try options.show(report)
  }
}
