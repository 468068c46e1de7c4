import MartletPlugin

/// Semantic-entropy termination: several chains answer round by round, each round with its own earlier
/// answer in view, and stop when the answers of a round mean nearly the same.
///
/// Two answers mean the same when the run's extractor writes them alike. The entropy of their shares is
/// compared with `threshold` after each round; the last round votes. A chain ends where its context is full.
///
/// Paper: Adaptive Termination for Multi-round Parallel Reasoning: An Universal Semantic Entropy-Guided
/// Framework (Xu et al., 2025). There the rounds also show each chain the others' answers; `refine` may
/// say so with `{answers}`.
struct SemanticEntropy: Strategy {
  static let id = "semantic-entropy"

  private let width: Int
  private let rounds: Int
  private let threshold: Double
  private let bridge: String

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    rounds = try run.component.integer("rounds")
    threshold = try run.component.number("threshold")
    bridge = try run.component.text("refine")
  }

  func run(_ run: RunContext) throws {
    var attempts = try run.root().fork(width).map { try Attempt(in: $0) }
    var last = Votes()
    try run.untilRunEnds { () throws(PluginError) in
      for round in 0..<rounds {
        if round > 0 {
          let answers = last.ranking.map(\.answer).joined(separator: ", ")
          let text = try run.filled(bridge, ["answers": answers])
          attempts = try Attempt.following(attempts, bridge: text)
          if attempts.isEmpty { return }
        }
        let end = try run.untilRunEnds { () throws(PluginError) in
          try run.advance(attempts.map(\.branch))
        }
        last = try vote(attempts, run, isCut: end != nil && round > 0) ?? last
        if let chosen = last.chosen {
          try run.answer(chosen)
        } else if round == 0 {
          try run.answerByVote(of: attempts.map(\.branch))
        }
        try run.component.trace(
          "round", ["round": .integer(round), "semantic_entropy": .number(last.entropy)])
        if let end { throw end }
        if last.entropy <= threshold, !last.tallies.isEmpty { return }
      }
    }
  }

  /// The votes of a round; nil for one that was cut off, whose halves say less than the round before.
  private func vote(
    _ attempts: [Attempt], _ run: RunContext, isCut: Bool
  ) throws(PluginError) -> Votes? {
    if isCut { return nil }
    var votes = Votes()
    for attempt in attempts {
      let text = try attempt.text()
      if text.isEmpty { continue }
      let answer = try attempt.answer(run)
      votes.add(
        answer, merit: try attempt.logprob(), candidate: try run.candidate(text: text))
    }
    return votes
  }
}
