import MartletPlugin

/// Early-stopping self-consistency: answers are generated a window at a time, and a window in which all
/// agree is the last.
///
/// Paper: Escape Sky-high Cost: Early-stopping Self-Consistency for Multi-step Reasoning (Li et al.,
/// 2024).
struct EarlyStoppingConsistency: Strategy {
  static let id = "early-stopping-consistency"

  private let most: Int
  private let window: Int

  init(_ run: RunContext) throws {
    most = try run.component.integer("n")
    window = try run.component.integer("window")
  }

  func run(_ run: RunContext) throws {
    let root = try run.root()
    var branches: [Branch] = []
    try run.untilRunEnds { () throws(PluginError) in
      while branches.count < most {
        let next = try root.fork(min(window, most - branches.count))
        branches += next
        try run.advance(next)
        var answers: Set<String?> = []
        for branch in next { answers.insert(try branch.extract()) }
        if answers.count == 1, answers.first! != nil { return }
      }
    }
    try run.answerByVote(of: branches)
    try run.component.trace("windows", ["samples": .integer(branches.count)])
  }
}
