import Glibc
import MartletPlugin

/// Weighted self-consistency: generate n answers, and let each vote with the weight of its score.
///
/// The weight is the score itself where it is positive, or exp(score / temperature) with a temperature
/// above 0. With a scorer that finds all alike this is ``SelfConsistency``.
///
/// Paper: Making Large Language Models Better Reasoners with Step-Aware Verifier (Li et al., 2023),
/// whose voting verifier adds up scores by answer.
struct WeightedVoting: Strategy {
  static let id = "weighted-voting"

  private let width: Int
  private let temperature: Double

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    temperature = try run.component.number("temperature")
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(width)
    try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
    let scores = try run.score(branches)
    let top = scores.max() ?? 0
    let weights = scores.map { score in
      temperature > 0 ? exp((score - top) / temperature) : max(0, score)
    }
    try run.answerByVote(of: branches, weights: weights)
  }
}
