import MartletPlugin

/// short-m@k: start k answers side by side, stop all when the first m are complete, and let those m
/// vote.
///
/// "First" is by tokens, not by time, so the same seed gives the same answer on any machine.
///
/// Paper: Don't Overthink it. Preferring Shorter Thinking Chains for Improved LLM Reasoning (Hassid et
/// al., 2025).
struct ShortMofK: Strategy {
  static let id = "short-m-at-k"

  private let most: Int
  private let wanted: Int

  init(_ run: RunContext) throws {
    most = try run.component.integer("k")
    // With m above k all are waited for.
    wanted = min(most, try run.component.integer("m"))
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(most)
    var complete: [Branch] = []
    try run.untilRunEnds { () throws(PluginError) in
      try run.submit(branches)
      for _ in branches {
        let event = try run.waitAny()
        if try event.branch.state().isComplete { complete.append(event.branch) }
        if complete.count == wanted { break }
      }
      for branch in branches { try branch.cancel() }
    }
    try run.answerByVote(of: complete.isEmpty ? branches : complete)
    try run.component.trace("first", ["complete": .integer(complete.count)])
  }
}
