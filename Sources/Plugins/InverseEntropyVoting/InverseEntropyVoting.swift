import MartletPlugin

/// Inverse-entropy voting over sequential refinements: each of several chains tries again and again
/// with what it wrote before in view, and each try votes with the inverse of its mean entropy.
///
/// Tries of one chain share the keys and values of all that came before. `refine` is what is appended
/// between two tries; `{prompt}` in it is the question. A chain ends where its context has no room for another try.
///
/// Paper: The Sequential Edge: Inverse-Entropy Voting Beats Parallel Self-Consistency at Matched Compute
/// (Sharma and Chopra, 2025).
struct InverseEntropyVoting: Strategy {
  static let id = "inverse-entropy-voting"

  private let chains: Int
  private let rounds: Int
  private let bridge: String

  init(_ run: RunContext) throws {
    chains = try run.component.integer("chains")
    rounds = try run.component.integer("rounds")
    bridge = try run.filled(try run.component.text("refine"))
  }

  func run(_ run: RunContext) throws {
    var attempts = try run.root().fork(chains).map { try Attempt(in: $0) }
    var votes = Votes()
    try run.untilRunEnds { () throws(PluginError) in
      for round in 0..<rounds {
        if round > 0 {
          attempts = try Attempt.following(attempts, bridge: bridge)
          if attempts.isEmpty { return }
        }
        let end = try run.untilRunEnds { () throws(PluginError) in
          try run.advance(attempts.map(\.branch))
        }
        for attempt in attempts { try vote(attempt, &votes, run) }
        if let chosen = votes.chosen {
          try run.answer(chosen)
        } else if round == 0 {
          try run.answerByVote(of: attempts.map(\.branch))
        }
        if let end { throw end }
      }
    }
  }

  private func vote(
    _ attempt: Attempt, _ votes: inout Votes, _ run: RunContext
  ) throws(PluginError) {
    let text = try attempt.text()
    if text.isEmpty { return }
    // A try of one certain token has entropy 0 and must not outvote all others for ever.
    let weight = 1 / (try attempt.meanEntropy() + 0.01)
    let candidate = try run.candidate(text: text, score: weight)
    votes.add(try attempt.answer(run), weight: weight, candidate: candidate)
  }
}
