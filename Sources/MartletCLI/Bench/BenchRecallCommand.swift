import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench recall`.
struct BenchRecallCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recall",
    abstract: "Measures what ways of attending do to answers about long texts.",
    discussion: """
      Every question of a file of problems (Benchmarks/Model/long_problems.py) is answered with exact \
      attention and with the others; texts without questions have their last tokens predicted.
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: "The problems, in JSON lines.", transform: path)
  var problems: String

  @Option(help: "Families of problems; all of the file if not given.")
  var suite: WordList?

  @Option(help: "Lengths of problems; all of the file if not given.")
  var lengths: NumberList?

  @Option(help: "The most texts of a family and length.")
  var contexts = Int.max

  @Option(help: "Ways of attending, as in --attention, with commas; exact is always measured too.")
  var methods = "exact,retrieve=0.02"

  @Option(
    help:
      "Shares of a text to drop before a question that is not about them, such as 0.5, or again=0.5 where what follows is processed again."
  )
  var dropped: WordList?

  @Option(help: "Tokens at fewer positions attend to everything, at least 1024.")
  var minimumPositions = 1024

  @Option(help: "Recent positions that retrieval attends to without a search, 128 if not given.")
  var recent: Int?

  @Option(help: "Tokens predicted at the end of a text without questions.")
  var predicted = 512

  @OptionGroup var options: BenchOptions

  func run() throws {
    let report = try options.refusing {
      var settings = RecallBench.Settings(problems: try chosen())
      settings.methods = try AttentionMethod.parseList(methods).map { method in
        guard case .retrieve(var retrieval) = method else { return method }
        retrieval.minimumPositions = retrieval.minimumPositions ?? minimumPositions
        if let recent { retrieval.recent = recent }
        return .retrieve(retrieval)
      }
      settings.dropped = try (dropped?.values ?? []).map(DroppedShare.parse)
      settings.predicted = predicted
      settings.kvType = model.kvType
      settings.version = MartletCommand.configuration.version
      settings.command =
        model.command("martlet bench recall") + " --problems \(problems) --predicted \(predicted)"
        + " --minimum-positions \(minimumPositions)"
      let session = try model.open(tuning: .off)
      let progress = Progress("measuring")
      defer { progress.finish() }
      return try RecallBench.run(settings, session: session) { progress.update($0, note: $1) }
    }
    try options.show(report)
  }

  /// The problems of the file that are asked for.
  private func chosen() throws -> [RecallProblem] {
    var taken: [String: Int] = [:]
    return try RecallProblem.read(readBytes(of: problems), file: problems).filter { problem in
      guard suite?.values.contains(problem.family) ?? true,
        lengths?.values.contains(problem.length) ?? true
      else { return false }
      taken["\(problem.family) \(problem.length)", default: 0] += 1
      return taken["\(problem.family) \(problem.length)"]! <= contexts
    }
  }
}
