import Foundation
import Martlet
import MartletLab

/// One way of answering a problem: a strategy with its options.
struct DemoAttempt: Equatable {
  let strategy: String
  let options: [String: String]

  static let all = [
    DemoAttempt(strategy: "greedy", options: [:]),
    DemoAttempt(strategy: "best-of-n", options: ["n": "16"]),
    DemoAttempt(strategy: "self-consistency", options: ["n": "16"]),
    DemoAttempt(strategy: "first-finish", options: ["n": "4"]),
  ]

  var label: String {
    ([strategy] + options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
      .joined(separator: " ")
  }

  /// Answers a problem and judges the answer, which the strategy did not see judged unless it used
  /// the exact checker itself.
  func answer(_ problem: EmbeddedProblem, seed: UInt64, in session: Session) async throws
    -> DemoOutcome
  {
    let result = try await session.run(
      problem.prompt, strategy: strategy, options: options, seed: seed)
    return DemoOutcome(isRight: problem.isRight(result.text), result: result)
  }
}

/// What an attempt came to.
struct DemoOutcome {
  let isRight: Bool
  let result: RunResult

  func line(label: String) -> String {
    let text = result.text.trimmingCharacters(in: .whitespacesAndNewlines)
    let shown = text.count > 60 ? text.prefix(59) + "…" : text[...]
    let tokens = "\(result.usage.generatedTokens) tokens"
    return [
      isRight ? "✓" : "✗", label.padded(to: 21), String(shown).padded(to: 60),
      tokens.padded(to: 12), seconds(result.timing.seconds),
    ].joined(separator: " ")
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(0, width - count))
  }
}

/// Totals of all attempts.
struct DemoScore {
  private struct Total {
    var right: [EmbeddedFamily: Int] = [:]
    var tokens = 0
    var seconds = 0.0
  }

  private(set) var outcomes = 0
  private var totals: [String: Total] = [:]

  mutating func add(_ outcome: DemoOutcome, to attempt: DemoAttempt, family: EmbeddedFamily) {
    var total = totals[attempt.label] ?? Total()
    if outcome.isRight { total.right[family, default: 0] += 1 }
    total.tokens += outcome.result.usage.generatedTokens
    total.seconds += outcome.result.timing.seconds
    totals[attempt.label] = total
    outcomes += 1
  }

  /// One row per attempt.
  func table(seed: UInt64, problems: [EmbeddedProblem]) -> String {
    let families = EmbeddedFamily.allCases.filter { family in
      problems.contains { $0.family == family }
    }
    var table = Table(
      ["strategy"] + families.map { "\($0.rawValue) right" }
        + ["tokens", "seconds", "tokens/s"])
    for attempt in DemoAttempt.all {
      guard let total = totals[attempt.label] else { continue }
      table.append(
        [attempt.label]
          + families.map { family in
            "\(total.right[family] ?? 0) of \(problems.count { $0.family == family })"
          }
          + [
            "\(total.tokens)", String(format: "%.2f", total.seconds),
            String(format: "%.0f", Double(total.tokens) / max(total.seconds, 1e-9)),
          ])
    }
    return table.render()
  }
}
