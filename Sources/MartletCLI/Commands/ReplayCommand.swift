import ArgumentParser
import Foundation
import Martlet

/// `martlet replay`.
struct ReplayCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay", abstract: "Takes a recorded run's decisions again, without the model.",
    discussion: """
      The trace is one of 'martlet run --trace'. Without options the run decides as it did. With \
      another strategy, scorer, extractor, option or budget it decides anew on what was drawn then, \
      and the result is that of a fresh run, as long as no branch goes on where the recorded one \
      ended; there it stops with the best answer so far and says "not_recorded".
      """)

  @Argument(help: "A trace file of 'martlet run --trace'.", transform: path)
  var trace: String

  @Option(
    name: [.customLong("selector"), .customLong("strategy")],
    help: "Another strategy: another way to choose from, or to search, what was drawn.")
  var selector: String?

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "An option of the strategy, or scorer.key=value, extractor.key=value. Repeatable.",
      valueName: "key=value"))
  var assignments: [String] = []

  @Option(parsing: .unconditional, help: "Short for --set threshold=VALUE.")
  var threshold: Double?

  @Option(help: "Another scorer.")
  var scorer: String?

  @Option(help: "Another extractor.")
  var extractor: String?

  @Option(
    help: ArgumentHelp(
      "Another budget, or 'none'. Time plays no part in a replay.", valueName: "tokens=N,…"))
  var budget: String?

  @OptionGroup var plugins: PluginOptions

  @Flag(help: "Print one JSON object.")
  var json = false

  func run() async throws {
    let host = PluginHost(
      searchPath: .standard(directories: try plugins.checkedDirectories()),
      isolation: try plugins.isolation())
    let replay = try Replay(contentsOf: trace, plugins: host)
    let result = try await replay.run { try change(&$0) }
    if json { return print(try result.json(), terminator: "") }
    print(result.text)
    var line =
      "\(result.strategy), replayed: \(result.usage.generatedTokens) tokens, stopped because "
      + result.stoppedBecause.rawValue
    if let failure = result.failure { line += " (\(failure))" }
    StandardError.write(line + "\n")
  }

  private func change(_ request: inout RunRequest) throws {
    if let selector, selector != request.strategy {
      // Another strategy has options of its own.
      (request.strategy, request.options) = (selector, [:])
    }
    var named = RunRequest(prompt: request.prompt)
    try named.set(assignments + (threshold.map { ["threshold=\($0)"] } ?? []))
    request.options.merge(named.options) { $1 }
    if let scorer {
      (request.scorer, request.scorerOptions, request.judge) = (scorer, [:], nil)
    }
    request.scorerOptions.merge(named.scorerOptions) { $1 }
    if let extractor { (request.extractor, request.extractorOptions) = (extractor, [:]) }
    request.extractorOptions.merge(named.extractorOptions) { $1 }
    guard let budget else { return }
    request.budget = budget == "none" ? Budget() : try Budget(parsing: budget)
    guard request.budget.seconds == nil else {
      throw CommandError(
        .usage, "--budget \(budget): a replay takes no time; limit tokens, kv_bytes or flops")
    }
  }
}
