import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench context`.
struct BenchContextCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "context",
    abstract: "Measures decoding at long contexts, exact and with attention that retrieves.",
    discussion: """
      Contexts hold synthetic keys and values; only their last positions are prefilled. The model's \
      own limit of positions does not count here, since no text is read. Memory for keys and values is \
      taken once per way of attending.
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: "Numbers of positions before the tokens that are decoded.")
  var positions = NumberList([8192, 32768])

  @Option(help: "Ways of attending, as in --attention, with commas; exact is always measured too.")
  var methods = "exact,retrieve=0.02"

  @Option(
    help:
      "Shares of the context to drop as a finished span, such as 0.75, or again=0.75 where what follows is processed again."
  )
  var dropped: WordList?

  @Flag(
    help:
      "One way of attending after the other, each alone in memory; exact attention only where it is named."
  )
  var apart = false

  @Option(help: "Numbers of branches on one context.")
  var branches = NumberList([1])

  @Option(help: "Tokens per sample of time, at most 32.")
  var generate = 8

  @Option(help: "Samples of time per row.")
  var repetitions = 5

  @Option(help: "Standard deviation of attention scores with the synthetic keys.")
  var sharpness = 4.0

  @Flag(help: "Prefill the whole context through the model, which takes minutes.")
  var prefill = false

  @Flag(
    help: "With --kv-file: drop all keys and values from memory before each token, the worst case.")
  var cold = false

  @OptionGroup var options: BenchOptions

  func run() throws {
    var settings = ContextBench.Settings()
    settings.methods = try AttentionMethod.parseList(methods)
    settings.dropped = try options.refusing { try (dropped?.values ?? []).map(DroppedShare.parse) }
    settings.isApart = apart
    settings.positions = positions.values
    settings.branches = branches.values
    settings.generate = generate
    settings.repetitions = repetitions
    settings.sharpness = sharpness
    settings.prefill = prefill
    settings.kvType = model.kvType ?? .bf16
    settings.kvFile = model.memory.kvFile
    settings.isCold = cold
    settings.version = MartletCommand.configuration.version
    settings.command = model.command("martlet bench context")
    // The file is for the contexts that are measured, not for a session that reads nothing.
    var opened = model
    opened.memory.kvFile = nil
    let session = try opened.open(tuning: .off)
    let progress = Progress("measuring")
    let report = try options.refusing {
      try ContextBench.run(settings, session: session) { progress.update($0, note: $1) }
    }
    progress.finish()
    try options.show(report)
  }
}
