import MartletPlugin

/// Self-consistency: generate n answers and keep the one that most of them agree on.
///
/// Branches vote with what the run's extractor finds in them. When the budget ends early, only
/// complete branches vote, unless none is complete. Ties go to the answer whose voters have the
/// higher total log-probability, then to the one seen first. Each candidate's score is the share of
/// votes of its answer; the likeliest voter for the winning answer gives the text.
///
/// Paper: Self-Consistency Improves Chain of Thought Reasoning in Language Models (Wang et al.,
/// 2023).
struct SelfConsistency: Strategy {
  static let id = "self-consistency"

  private let width: Int

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(width)
    try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }

    let voted = try run.answerByVote(of: branches)
    let winner = voted.votes.winner
    try run.component.trace(
      "vote",
      [
        "answer": .text(winner?.answer ?? ""), "answers": .integer(voted.votes.tallies.count),
        "votes": .integer(winner?.count ?? 0),
        "voters": .integer(voted.votes.tallies.reduce(0) { $0 + $1.count }),
      ])
  }
}
