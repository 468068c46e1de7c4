import MartletPlugin

/// Confidence by groups of tokens, with pruning on the way: traces whose least confident stretch falls
/// below what the first traces showed are stopped, and the rest vote with their confidence.
///
/// A token's confidence is minus the entropy of the model's distribution there; a group's is the mean over
/// `group` tokens, a trace's the lowest of its groups, or that of its last `group` tokens with `measure=tail`.
/// `warmup` traces run to their end; the quantile 1 − `keep` of their confidences is the bar for the others.
///
/// Paper: Deep Think with Confidence (Fu et al., 2025), which takes the mean log-probability of the most
/// likely tokens in place of the entropy.
struct ConfidenceSelection: Strategy {
  static let id = "confidence-selection"

  private let width: Int
  private let warmup: Int
  private let group: Int
  private let keep: Double
  private let usesTail: Bool

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    warmup = try run.component.integer("warmup")
    group = try run.component.integer("group")
    keep = try run.component.number("keep")
    usesTail = try run.component.text("measure") == "tail"
  }

  func run(_ run: RunContext) throws {
    let root = try run.root()
    var branches = try root.fork(min(width, warmup))
    var stopped = 0
    try run.untilRunEnds { () throws(PluginError) in
      try run.advance(branches)
      var bars: [Double] = []
      for branch in branches { bars.append(try confidence(branch)) }
      bars.sort()
      let bar = bars[min(bars.count - 1, Int(Double(bars.count) * (1 - keep)))]
      guard width > branches.count else { return }
      let rest = try root.fork(width - branches.count)
      branches += rest
      try run.advance(rest) { branch throws(PluginError) in
        let entropies = try branch.entropies()
        guard entropies.count >= group else { return false }
        return -Self.mean(entropies.suffix(group)) < bar
      }
      for branch in rest where try branch.state().stop == .callback { stopped += 1 }
    }
    let finished = try branches.filter { try $0.state().stop != .callback }
    let voters = finished.isEmpty ? branches : finished
    // Confidences are negative entropies; a weight falls off with what is lost against certainty.
    let weights = try voters.map { 1 / (0.01 - (try confidence($0))) }
    try run.answerByVote(of: voters, weights: weights)
    try run.component.trace("pruned", ["traces": .integer(stopped)])
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
