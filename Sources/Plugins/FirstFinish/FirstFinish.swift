import MartletPlugin

/// First-finish: start n answers side by side, keep the first that is complete and cancel the rest
/// at the next token.
///
/// "First" is by tokens generated, then by branch, never by time. An answer cut off by a length
/// limit does not win; when none is complete, the one with the highest mean log-probability does.
/// The trace event `first-finish` tells how many branches were cancelled and what they had cost.
///
/// Paper: First Finish Search: Efficient Test-Time Scaling in Large Language Models (Agarwal et
/// al., 2025).
struct FirstFinish: Strategy {
  static let id = "first-finish"

  private let width: Int

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(width)
    var winner: Branch?
    var open = Set(branches)
    try run.untilRunEnds { () throws(PluginError) in
      try run.submit(branches)
      while winner == nil, !open.isEmpty {
        let event = try run.waitAny()
        open.remove(event.branch)
        if event.stop == .endOfSequence || event.stop == .string { winner = event.branch }
      }
    }

    let cancelled = branches.filter { open.contains($0) }
    if winner != nil { for branch in cancelled { try branch.cancel() } }
    let states = try branches.map { try $0.state() }
    let candidates = try branches.map { try run.candidate($0) }
    if let answer = winner.flatMap({ branches.firstIndex(of: $0) }) ?? likeliest(states) {
      try run.answer(candidates[answer])
    }
    let spent = zip(branches, states).reduce(0) {
      $0 + (open.contains($1.0) ? $1.1.generatedTokens : 0)
    }
    if winner != nil {
      run.component.log(
        .info, "cancelled \(cancelled.count) of \(width) branches, which had \(spent) tokens")
    }
    try run.component.trace(
      "first-finish",
      [
        "finished": .flag(winner != nil), "cancelled_branches": .integer(cancelled.count),
        "cancelled_tokens": .integer(spent),
      ])
  }

  private func likeliest(_ states: [BranchState]) -> Int? {
    func mean(_ state: BranchState) -> Double {
      state.generatedTokens == 0
        ? -.infinity : state.logprob / Double(state.generatedTokens)
    }
    return states.indices.max { mean(states[$0]) < mean(states[$1]) }
  }
}
