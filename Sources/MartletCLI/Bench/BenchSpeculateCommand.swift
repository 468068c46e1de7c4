import ArgumentParser
import Martlet
import MartletBench
import MartletLab

/// `martlet bench speculate`.
struct BenchSpeculateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "speculate",
    abstract: "Measures what drafting gains over plain decoding of the same prompts and seeds.",
    discussion: """
      Each prompt grows --samples branches, --live at a time. Kinds of drafting take turns on the \
      same prompts; their texts must be equal, which is checked. speedup is the time without drafts \
      over the time with them.
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: "Kinds of drafting, as in `martlet run`; off is always measured.")
  var draft = "siblings,auto"

  @Option(
    help: """
      The prompts: arith, the embedded model's held-out problems, or a text file with one prompt per \
      line.
      """)
  var suite = "arith"

  @Option(help: "Numbers of branches decoded together.")
  var live = NumberList([1, 4, 16])

  @Option(help: "Branches per prompt.")
  var samples = 16

  @Option(help: "Prompts per sample of time.")
  var block = 4

  @Option(help: "The most tokens of a branch.")
  var generate = 256

  @Option(help: "Samples of time per row.")
  var repetitions = 5

  @Option(help: "Sampling, as in `martlet run`.")
  var sampling: String?

  @OptionGroup var options: BenchOptions

  func run() throws {
    var settings = SpeculateBench.Settings(prompts: try prompts())
    settings.drafts = try draft.split(separator: ",").map { try Drafting.parse(String($0)) }
    settings.live = live.values
    settings.samples = samples
    settings.block = block
    settings.generate = generate
    settings.repetitions = repetitions
    if let sampling { settings.sampling = try SamplingOptions.parse(sampling) }
    settings.version = MartletCommand.configuration.version
    settings.command = command
    let session = try model.open(tuning: .off)
    let progress = Progress("measuring")
    let report = try options.refusing {
      try SpeculateBench.run(settings, session: session) { progress.update($0, note: $1) }
    }
    progress.finish()
    try options.show(report)
  }

  private func prompts() throws -> [String] {
    if suite == "arith" {
      return EmbeddedProblem.draw(seed: 1, count: 400).map(\.prompt)
    }
    let bytes = try readBytes(of: path(suite))
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw CommandError(.usage, "the suite '\(suite)' is not UTF-8; convert it first")
    }
    let lines = text.split(separator: "\n").map(String.init)
    guard !lines.isEmpty else {
      throw CommandError(.usage, "the suite '\(suite)' has no lines; write one prompt per line")
    }
    return lines
  }

  /// This command without its lists.
  private var command: String {
    var words = [model.command("martlet bench speculate")]
    words.append("--suite \(suite) --samples \(samples) --block \(block) --generate \(generate)")
    words.append("--repetitions \(repetitions)")
    if let sampling { words.append("--sampling \(sampling)") }
    return words.joined(separator: " ")
  }
}
