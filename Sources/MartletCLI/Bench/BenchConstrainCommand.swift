import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench constrain`.
struct BenchConstrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "constrain",
    abstract: "Measures the token masks of constrained decoding.",
    discussion: """
      Vocabularies are synthetic, with the mix of a byte-level tokenizer. `fresh` is a mask where \
      nothing is remembered, `cached` the same the second time.
      """)

  @Option(help: "Numbers of tokens.")
  var vocab = NumberList([32_000, 128_256])

  @Option(help: "Samples per row.")
  var repetitions = 15

  @OptionGroup var options: BenchOptions

  func run() throws {
    var settings = ConstraintBench.Settings()
    settings.vocabularies = vocab.values
    settings.repetitions = repetitions
    settings.command = "martlet bench constrain --repetitions \(repetitions)"
    settings.version = MartletCommand.configuration.version

    let progress = Progress("measuring")
    let report = try options.refusing {
      try ConstraintBench.run(settings) { progress.update($0, note: $1) }
    }
    progress.finish()
    try options.show(report)
  }
}
