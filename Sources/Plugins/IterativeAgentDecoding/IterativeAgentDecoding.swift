import MartletPlugin

/// Iterative agent decoding: rounds of several answers, each round shown the best and the worst of those before with what
/// the verifier gave them.
///
/// Round 0 answers the prompt; later rounds are asked `feedback` with `{best}`, `{worst}`, `{best_score}` and
/// `{worst_score}`. The best answer of all rounds wins; a score of `threshold` ends it.
///
/// Paper: Review, Refine, Repeat: Understanding Iterative Decoding of AI Agents with Dynamic Evaluation and Selection
/// (Chakraborty et al., 2025).
struct IterativeAgentDecoding: Strategy {
  static let id = "iterative-agent-decoding"

  private let width: Int
  private let rounds: Int
  private let threshold: Double
  private let feedback: String

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    rounds = try run.component.integer("rounds")
    threshold = try run.component.number("threshold")
    feedback = try run.component.text("feedback")
  }

  func run(_ run: RunContext) throws {
    var best: (text: String, score: Double)?
    var worst: (text: String, score: Double)?
    try run.untilRunEnds { () throws(PluginError) in
      for round in 0..<rounds {
        var prompt = try run.root()
        if round > 0, let best, let worst {
          prompt = try run.open(
            run.filled(
              feedback,
              [
                "best": best.text, "worst": worst.text, "best_score": "\(best.score)",
                "worst_score": "\(worst.score)",
              ]), as: .chat)
        }
        let branches = try prompt.fork(width)
        let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
        for (branch, score) in zip(branches, try run.score(branches)) {
          let candidate = try run.candidate(branch, score: score)
          let text = try branch.text()
          if worst.map({ score < $0.score }) ?? true { worst = (text, score) }
          if best.map({ score > $0.score }) ?? true {
            best = (text, score)
            try run.answer(candidate)
          }
          try branch.release()
        }
        if let end { throw end }
        if let best, best.score >= threshold { return }
      }
    }
  }
}
