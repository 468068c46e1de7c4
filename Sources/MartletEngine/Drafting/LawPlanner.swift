import MartletModel

/// How many levels of guesses that were drawn by chance are worth their rows.
///
/// The tests of ``Verifier`` keep the distribution only where a guess is tested whatever it is: if
/// likely ones alone were kept in the tree, those that are tested would have another law than they
/// were drawn from. So trees are taken whole, level by level, and whether a level is taken depends on
/// what lies above it alone: on how many guesses were drawn, not on which. O(nodes).
struct LawPlanner {
  /// What taking a level must gain in tokens per time.
  private static let leastGain = 1.03

  let cost: RowCost
  /// How often one of the guesses for a place is kept.
  let acceptance: Double

  /// One plan per tree; trees come in the order of their seats while there is room. `rows` is the pass without guesses, `limit` its
  /// most rows, `most` the most nodes of each tree.
  func plan(
    _ trees: [DraftProposal], most: [Int], rows: Int, limit: Int
  ) -> [DraftPlanner.Plan] {
    var plans = trees.map { _ in DraftPlanner.Plan() }
    // Guesses of the level above, as (index in the proposal, in the plan, probability to be reached).
    var above = trees.map { _ in [(proposed: -1, planned: -1, reach: 1.0)] }
    var taken = trees.map { _ in 0 }
    var isOpen = trees.map { _ in true }
    var total = rows
    var expected = Double(trees.count)
    var rate = expected / cost(rows)
    while true {
      var level = 0
      var gain = 0.0
      for (index, tree) in trees.enumerated() where isOpen[index] {
        var (count, own) = (0, 0.0)
        for node in above[index] {
          guard let law = tree.law(after: node.proposed) else { continue }
          count += law.tokens.count
          own += node.reach * acceptance
        }
        isOpen[index] =
          count > 0 && taken[index] + count <= most[index] && total + level + count <= limit
        guard isOpen[index] else { continue }
        taken[index] += count
        level += count
        gain += own
      }
      guard level > 0 else { return plans }
      let better = (expected + gain) / cost(total + level)
      guard better > rate * (total == rows ? Self.leastGain : 1) else { return plans }
      (rate, expected, total) = (better, expected + gain, total + level)
      for (index, tree) in trees.enumerated() where isOpen[index] {
        above[index] = take(tree, above[index], &plans[index])
      }
    }
  }

  /// Takes what was guessed after the nodes of one level; returns the next level.
  private func take(
    _ tree: DraftProposal, _ above: [(proposed: Int, planned: Int, reach: Double)],
    _ plan: inout DraftPlanner.Plan
  ) -> [(proposed: Int, planned: Int, reach: Double)] {
    var next: [(proposed: Int, planned: Int, reach: Double)] = []
    for node in above {
      guard let law = tree.law(after: node.proposed) else { continue }
      plan.laws[node.planned] = law
      tree.forEachChild(of: node.proposed) { index, guess in
        let times = law.tokens.reduce(0) { $0 + ($1 == guess.token ? 1 : 0) }
        let reach = node.reach * acceptance * Double(times) / Double(law.tokens.count)
        next.append((index, plan.tokens.count, reach))
        plan.tokens.append(guess.token)
        plan.parents.append(node.planned)
        plan.probabilities.append(reach)
      }
    }
    return next
  }
}
