import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench retrieve`.
struct BenchRetrieveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retrieve",
    abstract: "Measures the index of retrieval attention on one thread.",
    discussion: """
      A row of the result is one way of finding the positions of a key-value head that matter to some \
      queries: how long a search takes, with the index in cache and cold, how long exact attention \
      over what it found takes, and what that leaves out. Memory: about 600 MiB at 131,072 keys.
      """)

  @Option(help: "Numbers of keys.")
  var keys = NumberList([8_192, 32_768, 131_072])

  @Option(help: "Dimensions of a head.")
  var dim = NumberList([64, 128])

  @Option(
    help:
      "Keys and queries: \(RetrieveBench.Distribution.names.joined(separator: ", ")), all heads of a file."
  )
  var distribution = WordList(["ood"])

  @Option(
    help: "Indexes: \(RetrieveBench.Index.allCases.map(\.rawValue).joined(separator: ", ")).")
  var index = WordList(RetrieveBench.Index.allCases.map(\.rawValue))

  @Option(help: "Queries that search together.")
  var queries = NumberList([1, 4])

  @Option(help: "Codes of four bits per key, a multiple of 8.")
  var nibbles = 32

  @Option(help: "Positions that a scan hands to the ranking, at 131,072 keys.")
  var candidates = 1_600

  @Option(help: "Keys whose links a graph's search follows, per query.")
  var expanded = 800

  @Option(help: "Positions that a graph's search hands to the ranking.")
  var graphCandidates = 1_600

  @Option(help: "Positions to find per query; of pages four times as many.")
  var wanted = 128

  @Option(help: "The largest error of outputs of what is chosen.")
  var tolerance = 0.02

  @Option(help: "Samples per row.")
  var repetitions = 32

  @OptionGroup var options: BenchOptions

  func run() throws {
    try ISA.validate()
    var settings = RetrieveBench.Settings()
    settings.keys = keys.values
    settings.dimensions = dim.values
    settings.distributions = try options.refusing {
      try distribution.values.map(RetrieveBench.Distribution.parse)
    }
    settings.indexes = try index.parse("--index", RetrieveBench.Index.self)
    settings.queries = queries.values
    settings.nibbles = nibbles
    settings.candidates = candidates
    settings.expanded = expanded
    settings.graphCandidates = graphCandidates
    settings.wanted = wanted
    settings.tolerance = tolerance
    settings.repetitions = repetitions
    settings.command =
      "martlet bench retrieve --nibbles \(nibbles) --candidates \(candidates) --wanted \(wanted) "
      + "--expanded \(expanded) --graph-candidates \(graphCandidates) "
      + "--tolerance \(tolerance) --repetitions \(repetitions)"
    settings.version = MartletCommand.configuration.version

    let progress = Progress("measuring")
    let report = try options.refusing {
      try RetrieveBench.run(settings) { progress.update($0, note: $1) }
    }
    progress.finish()
    try options.show(report)
  }
}
