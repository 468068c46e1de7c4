import MartletPlugin

/// Chooses a method and its width by what was measured on this machine and by how hard the prompt looks.
///
/// `choices`, which `martlet eval --learn` writes, says how often each strategy was right and what it took, by which
/// scorer judges the prompt, if any. Where that is expected to pay, a few answers are drawn first: their agreement,
/// likelihood and scores predict the chance that one answer is right, by a logistic regression, and the figures are those
/// of prompts of such a chance; one of the things that can be chosen is then to answer from the few at once. Of the
/// strategies that fit into what is left of the budget (their cost at the ninetieth percentile) the one that was right
/// most often runs inside this one; within half a point of it, the cheapest.
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
    let kind = try choices.kind { scorer throws(PluginError) in try Self.isJudged(by: scorer, run) }
    let pilot = kind.paysToLook(within: try Means(run)) ? try draw(kind.pilot, run) : nil
    if pilot?.hasEnded ?? false { return }
    let chance = pilot.map { kind.chance($0.features) }
    let means = try Means(run)
    guard let choice = kind.best(chance.map(kind.bin), within: means) else {
      throw PluginError(.argument, "no strategy that was measured fits into the budget; raise it")
    }
    try run.component.trace(
      "choice",
      [
        "strategy": .text(choice.spec), "kind": .text(kind.scorer),
        "chance": .number(chance ?? -1),
      ])
    if choice.isPilot { return }
    try run.untilRunEnds { () throws(PluginError) in
      let child = try run.runChild(
        choice.id, options: choice.options,
        tokens: kind.limit(of: choice, within: means))
      if let answer = child.answer { try run.answer(answer) }
      try child.branch?.release()
    }
  }

  /// What the few answers showed.
  private struct Pilot {
    var features: [Double]
    var hasEnded: Bool
  }

  /// Whether a scorer judges the prompt, whatever the answer: here none yet.
  private static func isJudged(by scorer: String, _ run: RunContext) throws(PluginError) -> Bool {
    do throws(PluginError) {
      _ = try run.score([try run.root()], by: scorer)
      return true
    } catch  where error.code == .unsupported || error.code == .notFound {
      return false
    }
  }

  /// Draws the few and answers from them for now: with the best score where a score tells right from wrong, else by
  /// vote.
  private func draw(_ count: Int, _ run: RunContext) throws(PluginError) -> Pilot {
    let branches = try run.root().fork(count)
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
  /// Tokens to generate, and tokens of all kinds.
  let generated: Double
  let total: Double
  let seconds: Double

  init(_ run: RunContext) throws(PluginError) {
    generated = try run.component.budgetLeft(.tokens)
    total = try run.component.budgetLeft(.totalTokens)
    seconds = try run.component.budgetLeft(.seconds)
  }

  private init(_ generated: Double, _ total: Double, _ seconds: Double) {
    (self.generated, self.total, self.seconds) = (generated, total, seconds)
  }

  /// What is left after something.
  func less(tokens: Double, seconds: Double) -> Means {
    Means(generated - tokens, total - tokens, self.seconds - seconds)
  }
}
