import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench sample`.
struct BenchSampleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sample",
    abstract: "Measures choosing tokens from logits under chains of rules.",
    discussion: """
      A row of the result is one token for each branch, from logits to token, on one thread. A \
      chain is written as --sampling takes it; chains are separated by semicolons. Penalties look \
      at a history of distinct tokens.
      """)

  @Option(help: "Sizes of the vocabulary.")
  var vocab = NumberList([32000, 128_256, 151_936, 262_144])

  @Option(help: "Chains of rules, separated by semicolons.")
  var chain = """
    top-k=40,top-p=0.95,min-p=0.05,temperature=0.8;min-p=0.05;temperature=0.8;top-p=0.95;\
    top-n-sigma=1;top-n-sigma=1,top-p=0.95,min-p=0.05,temperature=0.8;\
    top-n-sigma=1,top-p=0.95,min-p=0.05,temperature=0.8,repetition-penalty=1.1,frequency-penalty=0.1
    """

  @Option(help: "Branches.")
  var branches = NumberList([1])

  @Option(
    help:
      "Shapes of the logits: \(SampleBench.Shape.allCases.map(\.rawValue).joined(separator: ", "))."
  )
  var shape = WordList(SampleBench.Shape.allCases.map(\.rawValue))

  @Option(help: "Samples per row.")
  var repetitions = 30

  @OptionGroup var options: BenchOptions

  func run() throws {
    try ISA.validate()
    var settings = SampleBench.Settings()
    settings.vocabularies = vocab.values
    settings.chains = chain.split(separator: ";", omittingEmptySubsequences: false).map(String.init)
    settings.branches = branches.values
    settings.shapes = try shape.parse("--shape", SampleBench.Shape.self)
    settings.repetitions = repetitions
    settings.command = "martlet bench sample --repetitions \(repetitions)"
    settings.version = MartletCommand.configuration.version

    let progress = Progress("measuring")
    let report = try options.refusing {
      try SampleBench.run(settings) { progress.update($0, note: $1) }
    }
    progress.finish()
    try options.show(report)
  }
}
