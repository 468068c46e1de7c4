import MartletEngine

/// How a run ended, before it becomes a result.
struct RunEnding: Sendable {
  var candidates: [RunResult.Candidate]
  /// Index of the winning candidate.
  var answer: Int?
  var cause: RunResult.StopCause
  var failure: String?

  /// The cause when the strategy did its work: told by why the answer itself stopped.
  static func cause(ofAnswer candidate: RunResult.Candidate?) -> RunResult.StopCause {
    switch candidate?.stop {
    case .length: .length
    case .context: .context
    default: .finished
    }
  }

  /// The cause when a budget ended; nil when none did.
  static func cause(ofBudget ended: BudgetLedger.Resource?) -> RunResult.StopCause? {
    switch ended {
    case .tokens: .budgetTokens
    case .totalTokens: .budgetTotalTokens
    case .seconds: .budgetSeconds
    case .flops: .budgetFLOPs
    case nil: nil
    }
  }

  func result(
    _ request: RunRequest, model: String, judge: Judge, statistics: RunStatistics,
    attention: String?, scoredTokens: Int, notes: [String], seconds: Double
  ) -> RunResult {
    let winner = answer.map { candidates[$0] }
    let trimmed = winner.map { $0.text.trimmingWhitespace() } ?? ""
    var usage = RunResult.Usage()
    usage.promptTokens = statistics.promptTokens
    usage.generatedTokens = statistics.generatedTokens
    usage.forcedTokens = statistics.forcedTokens
    usage.scoredTokens = scoredTokens
    usage.guidanceTokens = statistics.guidanceTokens
    usage.peakKVBytes = statistics.peakKVBytes
    var timing = RunResult.Timing()
    timing.seconds = seconds
    timing.tokensPerSecond = seconds > 0 ? Double(statistics.generatedTokens) / seconds : 0
    timing.forwards = statistics.forwards
    timing.cachedPromptTokens = statistics.cachedPromptTokens
    timing.rolledBackTokens = statistics.rolledBackTokens
    timing.draftedTokens = statistics.draftedTokens
    timing.acceptedTokens = statistics.acceptedTokens
    timing.savedSteps = statistics.savedSteps
    timing.peakDraftKVBytes = statistics.peakDraftKVBytes
    return RunResult(
      answer: winner?.answer ?? trimmed, text: winner?.text ?? "", answerCandidate: answer,
      stoppedBecause: cause, failure: failure, seed: request.seed, model: model,
      strategy: request.strategy, scorer: judge.scorerID, extractor: judge.extractorID,
      sampler: request.sampler, memory: request.memory, attention: attention, usage: usage,
      timing: timing, notes: notes, candidates: candidates)
  }
}
