import ArgumentParser
import Martlet
import MartletLab

/// How the runs of an evaluation or a search are made, as options of a command.
struct EvaluationOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "The seed of generated problems.")
  var seed: UInt64 = 1

  @Option(
    parsing: .unconditional,
    help: """
      Runs in progress at once; no text depends on it. Default: 8, and 1 where a budget has seconds, \
      which runs beside it would use up.
      """)
  var jobs: Int?

  @Option(help: "Sampling, as in `martlet run`. Default: temperature=0.8.")
  var sampling: String?

  @Option(parsing: .unconditional, help: "The most generated tokens per branch.")
  var maxTokens: Int?

  @Flag(help: "Wrap each question as a user's message in the model's chat template.")
  var chat = false

  /// - Throws: `usage` for a number below 1.
  func check() throws(CommandError) {
    try Self.checkCounts([("--jobs", jobs ?? 1), ("--max-tokens", maxTokens ?? 1)])
  }

  private static let most = 1_000_000_000

  /// - Throws: `usage` naming the option that is below 1 or beyond all reason.
  static func checkCounts(_ counts: [(name: String, value: Int)]) throws(CommandError) {
    for (name, value) in counts {
      if value < 1 { throw CommandError(.usage, "\(name) \(value) is too few; give 1 or more") }
      if value > most {
        throw CommandError(.usage, "\(name) \(value) is too many; give at most \(most)")
      }
    }
  }

  func samplingOptions() throws -> SamplingOptions {
    try sampling.map { try SamplingOptions.parse($0) } ?? Session.defaultSampling
  }

  /// As settings record it.
  var samplingText: String { sampling ?? "temperature=0.8" }

  func jobs(for budgets: [BudgetSpec]) -> Int {
    jobs ?? (budgets.contains { $0.budget.seconds != nil } ? 1 : 8)
  }
}
