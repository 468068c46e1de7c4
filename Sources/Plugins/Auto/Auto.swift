import MartletPlugin

/// Chooses a method and its width by what was measured on this machine and by how hard the prompt looks.
///
/// A few answers are drawn first. Their agreement, likelihood and scores predict the chance that one answer of
/// the model is right, by a logistic regression; `choices`, which `martlet eval --learn` writes, says for prompts
/// of such a chance how often each strategy was right and what it took. Of those that fit into what is left of
/// the budget (their cost at the ninetieth percentile) the one that was right most often runs inside this one;
/// within half a point of it, the cheapest. One of the things that can be chosen is to answer from the few at once.
/// Where drawing them would take more than a third of the budget nothing is drawn, and what was best over all
/// prompts is chosen.
///
/// Paper: Scaling LLM Test-Time Compute Optimally can be More Effective than Scaling Model Parameters (Snell et al.,
/// 2024), which chooses by difficulty between search and revisions; here between all strategies that were measured.
struct Auto: Strategy {
  static let id = "auto"

  private let choices: Choices

  init(_ run: RunContext) throws {
    choices = try Choices(try run.component.text("choices"))
  }

  func run(_ run: RunContext) throws {
    let pilot = try affordsPilot(run) ? try draw(run) : nil
    if pilot?.hasEnded ?? false { return }
    let chance = pilot.map { choices.chance($0.features) }
    let bin = chance.map(choices.bin)
    guard let choice = choices.best(bin, within: try Means(run), hasPilot: pilot != nil) else {
      throw PluginError(.argument, "no strategy that was measured fits into the budget; raise it")
    }
    try run.component.trace(
      "choice",
      ["strategy": .text(choice.spec), "chance": .number(chance ?? -1)])
    if choice.isPilot { return }
    try run.untilRunEnds { () throws(PluginError) in
      let child = try run.runChild(choice.id, options: choice.options, tokens: choice.limit)
      if let answer = child.answer { try run.answer(answer) }
      try child.branch?.release()
    }
  }

  /// What the few answers showed.
  private struct Pilot {
    var features: [Double]
    var hasEnded: Bool
  }

  private func affordsPilot(_ run: RunContext) throws(PluginError) -> Bool {
    let means = try Means(run)
    return choices.pilotTokens * 3 <= means.tokens && choices.pilotSeconds * 3 <= means.seconds
  }

  /// Draws the few and answers from them for now: with the best score where a score tells right from wrong, else by
  /// vote.
  private func draw(_ run: RunContext) throws(PluginError) -> Pilot {
    let branches = try run.root().fork(choices.pilot)
    let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
    let scores = end == nil ? try Self.scores(branches, run) : nil
    let voted = try run.answerByVote(of: branches)
    let best = scores?.max() ?? 0
    if let scores, best >= 0.5, let index = scores.firstIndex(of: best) {
      try run.answer(voted.candidates[index])
    }
    var likelihood = 0.0
    for branch in branches {
      let state = try branch.state()
      likelihood += state.generatedTokens == 0 ? 0 : state.logprob / Double(state.generatedTokens)
    }
    let agreement =
      voted.votes.tallies.isEmpty
      ? 0 : Double(voted.votes.ranking[0].count) / Double(branches.count)
    for branch in branches { try branch.release() }
    return Pilot(
      features: [agreement, likelihood / Double(branches.count), best], hasEnded: end != nil)
  }

  /// Scores from 0 to 1; nil where the scorer gives others or there is none.
  private static func scores(
    _ branches: [Branch], _ run: RunContext
  ) throws(PluginError) -> [Double]? {
    guard let scores = try run.scoresIfJudged(branches),
      scores.allSatisfy({ (0...1).contains($0) })
    else { return nil }
    return scores
  }
}

/// What is left of a run's budget.
struct Means {
  let tokens: Double
  let seconds: Double

  init(_ run: RunContext) throws(PluginError) {
    tokens = min(
      try run.component.budgetLeft(.tokens), try run.component.budgetLeft(.totalTokens))
    seconds = try run.component.budgetLeft(.seconds)
  }
}
