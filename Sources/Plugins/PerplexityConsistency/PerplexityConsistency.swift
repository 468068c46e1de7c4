import Glibc
import MartletPlugin

/// Perplexity consistency with reasoning pruning (RPC): each distinct answer is given the probability
/// that the model itself gives the paths to it, after improbable paths are left out.
///
/// A path's probability is exp(total log-probability / length^power): 0 is the paper's sequence
/// probability, 1 (the default) the probability per token, which longer paths survive. Equal texts count
/// once. Pruning fits a mixture of two normal distributions to the paths' log-probabilities by
/// expectation maximisation and drops those that belong to the lower one and lie below the mean; the
/// paper fits two Weibull distributions to probabilities and truncates by the same mean.
///
/// Paper: Bridging Internal Probability and Self-Consistency for Effective and Efficient LLM Reasoning
/// (Zhou et al., 2025).
struct PerplexityConsistency: Strategy {
  static let id = "perplexity-consistency"

  private let width: Int
  private let power: Double
  private let prunes: Bool

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    power = try run.component.number("length_power")
    prunes = try run.component.integer("prune") != 0
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(width)
    try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }

    var logs: [Double] = []
    for branch in branches {
      let state = try branch.state()
      logs.append(state.logprob / pow(Double(max(1, state.generatedTokens)), power))
    }
    let isKept = prunes ? PathMixture(logs).keeps : logs.map { _ in true }
    let top = logs.max() ?? 0
    var seen: Set<String> = []
    var weights: [Double] = []
    for (index, branch) in branches.enumerated() {
      let isNew = seen.insert(try branch.text()).inserted
      weights.append(isNew && isKept[index] ? exp(logs[index] - top) : 0)
    }
    let voted = try run.answerByVote(of: branches, weights: weights)
    try run.component.trace(
      "prune",
      [
        "pruned": .integer(isKept.count { !$0 }), "distinct": .integer(seen.count),
        "agreement": .number(voted.votes.agreement),
      ])
  }
}

/// Two normal distributions fitted to log-probabilities of paths.
private struct PathMixture {
  /// Whether each path is kept.
  let keeps: [Bool]

  init(_ logs: [Double]) {
    let mean = logs.reduce(0, +) / Double(max(1, logs.count))
    let spread = logs.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(1, logs.count))
    guard logs.count >= 4, spread > 1e-12, let low = logs.min(), let high = logs.max() else {
      keeps = logs.map { _ in true }
      return
    }
    var (means, variances, parts) = ([low, high], [spread, spread], [0.5, 0.5])
    var belongsLow = logs.map { _ in 0.5 }
    for _ in 0..<100 {
      for (index, value) in logs.enumerated() {
        let densities = (0..<2).map { place in
          parts[place] * exp(-pow(value - means[place], 2) / (2 * variances[place]))
            / variances[place].squareRoot()
        }
        let total = densities[0] + densities[1]
        belongsLow[index] = total > 0 ? densities[0] / total : (value < mean ? 1 : 0)
      }
      for place in 0..<2 {
        let shares = belongsLow.map { place == 0 ? $0 : 1 - $0 }
        let total = max(shares.reduce(0, +), 1e-9)
        parts[place] = total / Double(logs.count)
        means[place] = zip(shares, logs).reduce(0) { $0 + $1.0 * $1.1 } / total
        variances[place] = max(
          1e-6 * spread,
          zip(shares, logs).reduce(0) { $0 + $1.0 * pow($1.1 - means[place], 2) } / total)
      }
    }
    let pruned = zip(logs, belongsLow).map { $1 > 0.5 && $0 < mean }
    keeps = pruned.map { !$0 }
  }
}
