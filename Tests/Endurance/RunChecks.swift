import Foundation
import Martlet

/// What every run must have kept to, whatever it was.
struct RunChecks: Sendable {
  let plan: RunPlan
  let stage: Stage
  /// What came of it.
  let outcome: Result<RunResult, ScalingError>
  /// Its trace as JSON; nil where it was not traced.
  let trace: Data?
  /// Whether this process stood still for longer than a plugin is waited for.
  let wasHeldUp: Bool
  /// Whether the caller gave it up in the end.
  let wasCancelled: Bool

  /// What is wrong, in sentences; empty when nothing is.
  func problems() -> [String] {
    switch outcome {
    case .success(let result): return budgets(result) + ending(result) + consistency(result)
    case .failure(let error): return failure(error).map { [$0] } ?? []
    }
  }

  // MARK: Budgets

  private func budgets(_ result: RunResult) -> [String] {
    let (budget, usage) = (plan.request.budget, result.usage)
    func over<T: Comparable>(_ what: String, _ used: T, _ limit: T?) -> String? {
      limit.flatMap { used > $0 ? "\(used) \(what), of a budget of \($0)" : nil }
    }
    let flops =
      2 * Double(plan.session.surroundings.parameters)
      * Double(usage.promptTokens + usage.generatedTokens + usage.guidanceTokens)
    return [
      over("tokens", usage.generatedTokens, budget.tokens),
      over("tokens in all", usage.totalTokens, budget.totalTokens),
      over("bytes of keys and values", usage.peakKVBytes, budget.kvBytes),
      over("operations", flops, budget.flops.map { $0 * (1 + 1e-12) }),
    ].compactMap(\.self)
  }

  // MARK: The ending

  private func ending(_ result: RunResult) -> [String] {
    let budget = plan.request.budget
    let isPossible =
      switch result.stoppedBecause {
      case .finished, .length, .context, .abstained: true
      case .budgetTokens: budget.tokens != nil
      case .budgetTotalTokens: budget.totalTokens != nil
      case .budgetSeconds: budget.seconds != nil
      case .budgetFLOPs: budget.flops != nil
      // The engine has a ceiling of its own.
      case .budgetKVBytes: true
      case .cancelled: wasCancelled
      case .pluginFailed: plan.fate != .good || plan.hasBadJudge || isExcused(result.failure ?? "")
      case .pluginHung: plan.fate == .goesOn || wasHeldUp
      case .notRecorded: false
      }
    var problems: [String] = []
    if !isPossible {
      problems.append(
        "it stopped because \(result.stoppedBecause.rawValue) (\(result.failure ?? "no reason given"))"
      )
    }
    let mustExplain = [.pluginFailed, .pluginHung].contains(result.stoppedBecause)
    if mustExplain != (result.failure != nil) {
      problems.append("\(result.stoppedBecause.rawValue) and failure \(result.failure ?? "nil")")
    }
    if let answer = result.answerCandidate {
      if !result.candidates.indices.contains(answer) {
        problems.append("answer \(answer) of \(result.candidates.count) candidates")
      } else if result.text != result.candidates[answer].text {
        problems.append("the text is not the winner's")
      }
    }
    for candidate in result.candidates where candidate.score.map({ !$0.isFinite }) == true {
      problems.append("a score of \(candidate.score!)")
    }
    return problems
  }

  /// What is wrong with an error; nil when the run had it coming.
  private func failure(_ error: ScalingError) -> String? {
    let budget = plan.request.budget
    let isDeserved =
      switch error.code {
      case .budget: budget.seconds == 0
      case .cancelled: wasCancelled || budget.seconds != nil
      // The prompt, or what a strategy appends to it, does not fit what the run or the engine has.
      case .engine:
        switch error.engineCode {
        case .budget:
          budget.kvBytes != nil || budget.totalTokens != nil || budget.flops != nil
            || budget.seconds != nil
        case .memory: isShortOfMemory
        case .backend: plan.fate == .fails
        case .argument: plan.fate == .fails || error.message.contains(Self.excuses[0])
        case .cancelled: wasCancelled
        default: false
        }
      case .plugin: plan.fate == .fails || plan.hasBadJudge || isExcused(error.message)
      case .refused: plan.fate == .refused
      case .argument, .manifest, .notFound, .option, .file: false
      }
    return isDeserved ? nil : "it failed (\(error.code.rawValue)): \(error.message)"
  }

  /// Failures that are a strategy's way to say that it is not for this prompt or model.
  private func isExcused(_ message: String) -> Bool {
    Self.excuses.contains { message.contains($0) } || isShortOfMemory && message.contains("memory")
  }

  /// Whether the stage has less storage than its engine may ask for.
  private var isShortOfMemory: Bool { stage.name.contains("storage") }

  private static let excuses = [
    // A sampler, guidance and a constraint may have no token in common.
    "forbid every token",
    // The same, from fixtures that have no words of their own.
    "failed in run: invalid argument",
    "nothing was measured for this model yet", "judges only prompts of the form",
    "begins as another label does", "failed in score: unsupported", "breaks the constraint",
    // Texts that a strategy adds, or that a judge with a smaller context reads.
    "but the context of",
    // A child of a strategy that needs none.
    "the run has no scorer",
    // Teams take exact attention and no guidance.
    "this model's branches cannot read one another",
  ]

  // MARK: The trace

  private func consistency(_ result: RunResult) -> [String] {
    let usage = result.usage
    var problems: [String] = []
    if usage.promptTokens < 0 || usage.generatedTokens < 0 || usage.scoredTokens < 0 {
      problems.append("a negative usage: \(usage)")
    }
    if usage.forcedTokens > usage.generatedTokens {
      problems.append("\(usage.forcedTokens) forced tokens of \(usage.generatedTokens)")
    }
    guard let trace else { return problems }
    do {
      let summary = try TraceSummary(trace)
      let (drawn, timing) = (usage.generatedTokens + result.timing.rolledBackTokens, result.timing)
      func compare(_ what: String, _ traced: Int, _ used: Int) {
        if traced != used {
          problems.append("\(traced) \(what) in the trace, \(used) in the result")
        }
      }
      compare("tokens", summary.tokens, drawn)
      // A pass under way when a run is given up ends behind its result.
      let isCut = wasCancelled || plan.request.budget.seconds != nil
      if !(isCut && summary.forwards == timing.forwards + 1) {
        compare("forward passes", summary.forwards, timing.forwards)
      }
      compare("drafted tokens", summary.drafted, timing.draftedTokens)
      if let deadline = plan.request.budget.seconds {
        // It began no later than its first event. One token may be on its way when the time is over.
        let late = summary.tokens(after: deadline)
        if late > 1 { problems.append("\(late) tokens were drawn after \(deadline) s") }
      }
    } catch {
      problems.append("the trace cannot be read: \(error)")
    }
    return problems
  }
}

/// What a trace says of what was used.
struct TraceSummary {
  var tokens = 0
  var forwards = 0
  var drafted = 0
  private var tokenTimes: [Double] = []

  init(_ data: Data) throws {
    guard let file = try JSONSerialization.jsonObject(with: data) as? [String: Any],
      let events = file["traceEvents"] as? [[String: Any]]
    else { throw Failure("it has no events") }
    for event in events {
      let arguments = event["args"] as? [String: Any] ?? [:]
      switch event["ph"] as? String {
      case "X" where event["name"] as? String == "forward":
        if let rows = arguments["run_rows"] as? Int, rows > 0 { forwards += 1 }
      case "i" where arguments["token"] != nil:
        tokens += 1
        tokenTimes.append((event["ts"] as? Double ?? 0) * 1e-6)
      case "i" where event["name"] as? String == "draft":
        drafted += arguments["drafted"] as? Int ?? 0
      default: break
      }
    }
  }

  func tokens(after seconds: Double) -> Int { tokenTimes.count { $0 > seconds } }
}
