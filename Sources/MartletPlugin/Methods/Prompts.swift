extension RunContext {
  /// Whether none of the branches can go on.
  public func allFinished(_ branches: [Branch]) throws(PluginError) -> Bool {
    for branch in branches where try !branch.state().isFinished { return false }
    return true
  }

  /// What work gives; nil where a branch's context has no room for it.
  public func ifRoom<R>(_ work: () throws(PluginError) -> R) throws(PluginError) -> R? {
    do throws(PluginError) {
      return try work()
    } catch  where error.code == .context {
      return nil
    }
  }

  /// Generates one text for each prompt, all together, and returns the branches that hold them: for a
  /// judge, a critic, a rewriting. Release them when done.
  /// - Parameter advance: where each ends.
  public func generate(
    _ prompts: [String], as form: PromptForm = .chat, _ advance: Advance = Advance()
  ) throws(PluginError) -> [Branch] {
    var branches: [Branch] = []
    for prompt in prompts { branches.append(try open(prompt, as: form)) }
    try self.advance(branches, advance)
    return branches
  }

  /// Scores branches with the run's scorer; nil where it has none that can judge the prompt.
  public func scoresIfJudged(_ branches: [Branch]) throws(PluginError) -> [Double]? {
    do throws(PluginError) {
      return try score(branches)
    } catch  where error.code == .unsupported || error.code == .notFound {
      return nil
    }
  }

  /// Records branches as candidates with their scores, names the best as the answer, and returns it:
  /// the highest score, then the higher total log-probability, then the first.
  @discardableResult
  public func answerBest(
    of branches: [Branch], scores: [Double]
  ) throws(PluginError) -> Candidate? {
    var best: (score: Double, logprob: Double, candidate: Candidate)?
    for (branch, score) in zip(branches, scores) {
      let candidate = try candidate(branch, score: score)
      let logprob = try branch.state().logprob
      if let best, (score, logprob) <= (best.score, best.logprob) { continue }
      best = (score, logprob, candidate)
    }
    if let best { try answer(best.candidate) }
    return best?.candidate
  }
}
