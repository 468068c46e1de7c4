import Glibc
import MartletPlugin

/// Generative verification with a solve/verify split: n answers, each judged several times by a model that reasons; the
/// answer with the highest mean verdict wins.
///
/// `calls` divides a number of generations between solving and verifying as the paper found best, with solutions growing
/// as C^0.57 and verifications of each as C^0.39 (scaled so that solutions × (1 + verifications) uses what there is);
/// `calls=0` takes `n` and `verifications` as they are. Until there is a verdict the vote counts. Unlike the paper, which
/// reads a verdict out of the text, ours is the probability of `yes` against `no`.
///
/// Paper: When To Solve, When To Verify: Compute-Optimal Problem Solving and Generative Verification for LLM Reasoning
/// (Singhi et al., 2025).
struct SolveVerify: Strategy {
  static let id = "solve-verify"

  private let solutions: Int
  private let verifications: Int
  private let votes: Bool
  private let verifier: Verifier

  init(_ run: RunContext) throws {
    let calls = try run.component.integer("calls")
    let split = Self.split(calls)
    solutions = calls == 0 ? try run.component.integer("n") : split.solutions
    verifications = calls == 0 ? try run.component.integer("verifications") : split.verifications
    votes = try run.component.text("answer") == "vote"
    verifier = try Verifier(run)
  }

  /// How many solutions, and verifications of each, for that many generations.
  static func split(_ calls: Int) -> (solutions: Int, verifications: Int) {
    guard calls > 1 else { return (1, 0) }
    let solutions = max(1, min(calls / 2, Int(pow(Double(calls), 0.57 / 0.96).rounded())))
    return (solutions, calls / solutions - 1)
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(solutions)
    let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
    let voted = try run.answerByVote(of: branches)
    if end != nil || verifications == 0 { return }
    try run.untilRunEnds { () throws(PluginError) in
      var texts: [String] = []
      for branch in branches { texts.append(try branch.text()) }
      let means = try verifier.means(on: texts, times: verifications, run)
      var poll = Votes()
      for (index, mean) in means.enumerated() {
        let candidate = voted.candidates[index]
        try run.setScore(mean, of: candidate)
        // Without `vote` the one with the best verdict speaks for all: every candidate stands alone.
        let answer = votes ? voted.answers[index] : "\(index)"
        let merit = try branches[index].state().logprob
        poll.add(answer, weight: mean, merit: merit, candidate: candidate)
      }
      if let chosen = poll.chosen { try run.answer(chosen) }
    }
    try run.component.trace(
      "split", ["solutions": .integer(solutions), "verifications": .integer(verifications)])
  }
}
