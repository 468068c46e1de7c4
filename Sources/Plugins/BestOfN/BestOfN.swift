import MartletPlugin

/// Best-of-n: generate n answers and keep the one that the run's scorer likes best.
///
/// Ties go to the higher total log-probability, then to the lower index. When the budget ends
/// early, whatever the branches hold by then is judged.
///
/// Paper: Training Verifiers to Solve Math Word Problems (Cobbe et al., 2021).
struct BestOfN: Strategy {
  static let id = "best-of-n"

  private let width: Int

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(width)
    try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }

    let scores = try run.score(branches)
    var best: (score: Double, logprob: Double, candidate: Candidate)?
    for (branch, score) in zip(branches, scores) {
      let candidate = try run.candidate(branch, score: score)
      let logprob = try branch.state().logprob
      if let best, (score, logprob) <= (best.score, best.logprob) { continue }
      best = (score, logprob, candidate)
    }
    if let best { try run.answer(best.candidate) }
  }
}
