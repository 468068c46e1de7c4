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

    try run.answerBest(of: branches, scores: try run.score(branches))
  }
}
