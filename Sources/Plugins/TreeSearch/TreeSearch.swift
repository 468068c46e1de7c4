import MartletPlugin

/// Monte-Carlo tree search over steps, with values in place of rollouts.
///
/// A node holds a partial answer; selection goes down by PUCT with a step's probability per token as its prior, a leaf is
/// expanded `expand` ways by one step, the scorer's value of each child is its first visit, and values go up as means.
/// `batch` leaves are expanded together. The finished answer with the highest value wins; without one the most visited
/// line is completed.
///
/// Paper: AlphaMath Almost Zero: process Supervision without process (Chen et al., 2024), with the run's scorer in
/// the value model's place.
struct TreeSearch: Strategy {
  static let id = "monte-carlo-tree-search"

  private let tree: StepTree

  init(_ run: RunContext) throws {
    var tree = try StepTree(run)
    tree.usesModelPriors = true
    self.tree = tree
  }

  func run(_ run: RunContext) throws { try tree.search(run) }
}
