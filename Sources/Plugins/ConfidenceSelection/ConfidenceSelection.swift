import MartletPlugin

/// Confidence by groups of tokens, with pruning on the way: traces whose least confident stretch falls
/// below what the first traces showed are stopped, and the rest vote with their confidence.
///
/// A token's confidence is minus the entropy of the model's distribution there; a group's is the mean over
/// `group` tokens, a trace's the lowest of its groups, or that of its last `group` tokens with `measure=tail`.
/// `warmup` traces run to their end; the quantile 1 − `keep` of their confidences is the bar that traces must reach to
/// vote. The others are generated as many at a time, and no more where one answer has `consensus` of the weight.
///
/// Paper: Deep Think with Confidence (Fu et al., 2025), which takes the mean log-probability of the most
/// likely tokens in place of the entropy; for chains of thought of many thousand tokens it takes groups of 2048, 16
/// traces to warm up, and keeps 0.1 (low) or 0.9 (high).
struct ConfidenceSelection: Strategy {
  static let id = "confidence-selection"

  private let width: Int
  private let warmup: Int
  private let group: Int
  private let keep: Double
  private let consensus: Double
  private let usesTail: Bool

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    warmup = try run.component.integer("warmup")
    group = try run.component.integer("group")
    keep = try run.component.number("keep")
    consensus = try run.component.number("consensus")
    usesTail = try run.component.text("measure") == "tail"
  }

  func run(_ run: RunContext) throws {
    let root = try run.root()
    var branches = try root.fork(min(width, warmup))
    var bar = -Double.infinity
    try run.untilRunEnds { () throws(PluginError) in
      try run.advance(branches)
      var shown: [Double] = []
      for branch in branches { shown.append(try confidence(branch)) }
      shown.sort()
      bar = shown[min(shown.count - 1, Int(Double(shown.count) * (1 - keep)))]
      while branches.count < width, try agreement(branches, bar) < consensus {
        let next = try root.fork(min(warmup, width - branches.count))
        branches += next
        try run.advance(next) { branch throws(PluginError) in
          let entropies = try branch.entropies()
          guard entropies.count >= group else { return false }
          return -Self.mean(entropies.suffix(group)) < bar
        }
      }
    }
    let voters = try self.voters(branches, bar)
    let weights = try voters.map { try weight($0) }
    try run.answerByVote(of: voters, weights: weights)
    try run.component.trace(
      "pruned",
      [
        "traces": .integer(branches.count), "voted": .integer(voters.count),
        "bar": .number(bar.isFinite ? bar : 0),
      ])
  }

  /// Those that came to their end above the bar; all, where none did.
  private func voters(_ branches: [Branch], _ bar: Double) throws(PluginError) -> [Branch] {
    var voters: [Branch] = []
    for branch in branches where try branch.state().stop != .callback {
      if try confidence(branch) >= bar { voters.append(branch) }
    }
    return voters.isEmpty ? branches : voters
  }

  /// The leading answer's part of the weight.
  private func agreement(_ branches: [Branch], _ bar: Double) throws(PluginError) -> Double {
    var weights: [String: Double] = [:]
    var total = 0.0
    for branch in try voters(branches, bar) {
      let weight = try weight(branch)
      total += weight
      if let answer = try branch.extract() { weights[answer, default: 0] += weight }
    }
    return total > 0 ? (weights.values.max() ?? 0) / total : 0
  }

  /// Confidences are negative entropies; a weight falls off with what is lost against certainty.
  private func weight(_ branch: Branch) throws(PluginError) -> Double {
    1 / (0.01 - (try confidence(branch)))
  }

  /// The lowest mean of a group, or the last group's.
  private func confidence(_ branch: Branch) throws(PluginError) -> Double {
    let entropies = try branch.entropies()
    guard !entropies.isEmpty else { return 0 }
    if usesTail || entropies.count <= group { return -Self.mean(entropies.suffix(group)) }
    var sum = entropies.prefix(group).reduce(0) { $0 + Double($1) }
    var highest = sum
    for index in group..<entropies.count {
      sum += Double(entropies[index]) - Double(entropies[index - group])
      highest = max(highest, sum)
    }
    return -highest / Double(group)
  }

  private static func mean(_ values: ArraySlice<Float>) -> Double {
    values.reduce(0) { $0 + Double($1) } / Double(values.count)
  }
}
