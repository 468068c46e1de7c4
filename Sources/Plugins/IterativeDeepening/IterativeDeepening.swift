import MartletPlugin

/// Iterative deepening with triggered self-correction: chains of thought are made to doubt themselves at the ends of windows
/// that grow.
///
/// After `first` tokens, and then after windows each `growth` times as long, every chain is given `trigger` and goes on,
/// also one that had ended: it then has its answer in view. After `rounds` triggers the chains run to their end. The
/// scorer chooses among them; without one that can judge the prompt, or with `answer=vote`, they vote.
///
/// Paper: Iterative Deepening Sampling for Large Language Models (Chen et al., 2025). Where a chain is cut in the middle of
/// a line, the trigger still begins a line of its own.
struct IterativeDeepening: Strategy {
  static let id = "iterative-deepening"

  private let width: Int
  private let first: Int
  private let growth: Double
  private let rounds: Int
  private let trigger: String
  private let votes: Bool

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    first = try run.component.integer("first")
    growth = try run.component.number("growth")
    rounds = try run.component.integer("rounds")
    trigger = try run.filled(try run.component.text("trigger"))
    votes = try run.component.text("answer") == "vote"
  }

  func run(_ run: RunContext) throws {
    var chains = try run.root().fork(width)
    var window = Double(first)
    try run.untilRunEnds { () throws(PluginError) in
      for _ in 0..<rounds {
        try run.advance(chains, Advance(maxTokens: Int(min(max(window, 1), 1_048_576))))
        for (index, chain) in chains.enumerated() {
          let doubting = try run.ifRoom { () throws(PluginError) in
            try Attempt(after: chain, bridge: trigger)
          }
          // One without room to doubt stands as it is.
          guard let doubting else { continue }
          chains[index] = doubting.branch
          try chain.release()
        }
        window *= growth
      }
      try run.advance(chains)
    }
    if !votes, let scores = try run.scoresIfJudged(chains) {
      try run.answerBest(of: chains, scores: scores)
    } else {
      try run.answerByVote(of: chains)
    }
  }
}
