import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench model`.
struct BenchModelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "model",
    abstract: "Measures prefill and decoding of a model at several numbers of branches.",
    discussion: """
      Every timed step is the engine's own, with all branches in one forward pass, logits and \
      sampling for each. decode_tokens_per_s counts all branches; width_cost is the time of a step \
      relative to width 1; fraction_of_limit compares with what this machine's memory and \
      arithmetic, measured in the same run, allow. Threads and prefill chunks are as given or by the \
      standard rule, never tuned.
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: "Numbers of branches.")
  var width = NumberList([1, 2, 4, 8, 16, 32])

  @Option(help: "Tokens of the prompt that the branches share.")
  var prompt = 512

  @Option(help: "Tokens before the prompt, shared as well; counted in the limit.")
  var sharedPrefix = NumberList([0])

  @Option(help: "Tokens that each branch generates per sample.")
  var generate = 64

  @Option(help: "Samples per row; widths take turns.")
  var repetitions = 5

  @Option(help: "Sampling, as in `martlet run`.")
  var sampling: String?

  @Flag(help: "Where the time of a step went, in JSON and CSV.")
  var phases = false

  @OptionGroup var options: BenchOptions

  func run() throws {
    var settings = ModelBench.Settings()
    settings.widths = width.values
    settings.prompt = prompt
    settings.sharedPrefixes = sharedPrefix.values
    settings.generate = generate
    settings.repetitions = repetitions
    if let sampling { settings.sampling = try SamplingOptions.parse(sampling) }
    settings.phases = phases
    settings.version = MartletCommand.configuration.version
    settings.command = command

    let session = try model.open(tuning: .off)
    let progress = Progress("measuring")
    let report = try options.refusing {
      try ModelBench.run(settings, session: session) { progress.update($0, note: $1) }
    }
    progress.finish()
    try options.show(report)
  }

  /// This command without its lists.
  private var command: String {
    var words = [model.command("martlet bench model")]
    words.append("--repetitions \(repetitions)")
    if let sampling { words.append("--sampling \(sampling)") }
    return words.joined(separator: " ")
  }
}
