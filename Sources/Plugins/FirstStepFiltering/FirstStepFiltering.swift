import MartletPlugin

/// First-step filtering: many first steps are tried and judged, and only the best few are carried on.
///
/// The survivors finish and are judged again: the best is the answer, or with `answer=vote` they vote.
///
/// Paper: Lost at the Beginning of Reasoning (Liao et al., 2025).
struct FirstStepFiltering: Strategy {
  static let id = "first-step-filtering"

  private let width: Int
  private let kept: Int
  private let delimiter: String
  private let firstTokens: Int
  private let votes: Bool

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    kept = min(width, try run.component.integer("keep"))
    delimiter = try run.stepDelimiter()
    firstTokens = try run.component.integer("first_tokens")
    votes = try run.component.text("answer") == "vote"
  }

  func run(_ run: RunContext) throws {
    var branches = try run.root().fork(width)
    try run.untilRunEnds { () throws(PluginError) in
      try run.advance(
        branches,
        firstTokens > 0 ? Advance(maxTokens: firstTokens) : Advance(delimiter: delimiter))
      let order = Weights.order(try run.score(branches))
      for index in order.dropFirst(kept) { try branches[index].release() }
      branches = order.prefix(kept).map { branches[$0] }
      try run.advance(branches)
    }
    if votes {
      try run.answerByVote(of: branches)
    } else {
      try run.answerBest(of: branches, scores: try run.score(branches))
    }
  }
}
