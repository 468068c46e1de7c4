import MartletPlugin

/// Adaptive self-consistency: answers are generated a few at a time until it is likely enough that the leading one stays
/// so.
///
/// With `rule=leads`, the paper's: the two leading answers with v₁ and v₂ votes give the probability that the first is
/// really the more frequent, P(p > ½) with p ~ Beta(v₁ + 1, v₂ + 1); the paper's threshold is 0.95.
///
/// With `rule=stays`, ours and the default: the probability that the leader is still ahead when all n are in
/// (``Outlook``), which near the end of the n asks for much less, and counts what the log-probabilities say: a path that
/// was seen has its exact probability however often it was drawn, and only what is left is counted by votes. For long
/// texts, whose paths have next to no probability, that is the plain vote.
///
/// The look comes after every `batch` answers; with `cancel` after each, and what is still being written when the vote is
/// decided is given up. That saves little, and favours answers that are short.
///
/// Paper: Let's Sample Step by Step: Adaptive-Consistency for Efficient Reasoning and Coding with LLMs
/// (Aggarwal et al., 2023), with its Beta stopping criterion.
struct AdaptiveConsistency: Strategy {
  static let id = "adaptive-consistency"

  private let most: Int
  private let batch: Int
  private let threshold: Double
  private let looksAhead: Bool
  private let cancels: Bool

  init(_ run: RunContext) throws {
    most = try run.component.integer("n")
    batch = try run.component.integer("batch")
    threshold = try run.component.number("threshold")
    looksAhead = try run.component.text("rule") == "stays"
    cancels = try run.component.integer("cancel") != 0
  }

  func run(_ run: RunContext) throws {
    let root = try run.root()
    var branches: [Branch] = []
    var outlook = Outlook(planned: most)
    var certainty = 0.0
    try run.untilRunEnds { () throws(PluginError) in
      while branches.count < most, certainty < threshold {
        let next = try root.fork(min(batch, most - branches.count))
        branches += next
        if cancels {
          try take(next, into: &outlook, run)
        } else {
          try run.advance(next)
          for branch in next { try note(branch, in: &outlook) }
        }
        certainty = self.certainty(outlook)
      }
    }
    let weights = looksAhead ? try self.weights(of: branches) : nil
    try run.answerByVote(of: branches, weights: weights)
    try run.component.trace(
      "certain", ["samples": .integer(outlook.count), "certainty": .number(certainty)])
  }

  /// Takes answers as they come in, and cancels the rest once the vote is decided.
  private func take(
    _ branches: [Branch], into outlook: inout Outlook, _ run: RunContext
  ) throws(PluginError) {
    try run.submit(branches)
    for _ in branches {
      let event = try run.waitAny()
      if event.stop == .budget { throw PluginError(.budget, "a budget of the run ended") }
      try note(event.branch, in: &outlook)
      if outlook.count >= batch, certainty(outlook) >= threshold { break }
    }
    for branch in branches { try branch.cancel() }
  }

  private func note(_ branch: Branch, in outlook: inout Outlook) throws(PluginError) {
    let state = try branch.state()
    outlook.add(
      try branch.extract(), text: try branch.text(),
      logprob: state.isComplete ? state.logprob : nil)
  }

  private func certainty(_ outlook: Outlook) -> Double {
    looksAhead ? outlook.probabilityOfStaying : outlook.probabilityOfLead
  }

  /// For each answer together: the probability of the paths that were seen, and its part of the votes for the rest.
  private func weights(of branches: [Branch]) throws(PluginError) -> [Double] {
    var paths = Paths()
    var isNew: [Double] = []
    for branch in branches {
      let state = try branch.state()
      isNew.append(paths.add(try branch.text(), logprob: state.isComplete ? state.logprob : nil))
    }
    return isNew.map { $0 + paths.unseen / Double(branches.count) }
  }
}
