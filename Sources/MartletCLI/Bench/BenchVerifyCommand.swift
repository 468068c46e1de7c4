import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench verify`.
struct BenchVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Measures the verification of drafted tokens on one thread.",
    discussion: """
      A row of the result is one call that keeps or rejects a tree of drafted tokens and draws the \
      token after them, without the forward pass that gives the target's probabilities.
      """)

  @Option(help: "Sizes of the vocabulary.")
  var vocab = NumberList([32_000, 128_256])

  @Option(
    help: "Verifiers: \(VerifyBench.Verifier.allCases.map(\.rawValue).joined(separator: ", ")).")
  var verifier = WordList(VerifyBench.Verifier.allCases.map(\.rawValue))

  @Option(help: "Drafted tokens.")
  var nodes = NumberList([1, 8, 32])

  @Option(help: "Samples per row.")
  var repetitions = 10

  @OptionGroup var options: BenchOptions

  func run() throws {
    try ISA.validate()
    var settings = VerifyBench.Settings()
    settings.vocabularies = vocab.values
    settings.verifiers = try verifier.parse("--verifier", VerifyBench.Verifier.self)
    settings.nodes = nodes.values
    settings.repetitions = repetitions
    settings.command = "martlet bench verify --repetitions \(repetitions)"
    settings.version = MartletCommand.configuration.version

    let progress = Progress("measuring")
    let report = try options.refusing {
      try VerifyBench.run(settings) { progress.update($0, note: $1) }
    }
    progress.finish()
    try options.show(report)
  }
}
