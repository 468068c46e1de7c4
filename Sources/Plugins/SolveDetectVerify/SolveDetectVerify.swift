import MartletPlugin

/// Solve, detect, verify: a chain of thought is asked at its hesitations whether it is done; a finished solution is
/// verified, first fast and where that is not clear slowly, and a wrong one goes back to the solver with what was found.
///
/// A hesitation is one of `words`. There the model is asked, without a token drawn, how likely its solution is complete;
/// at `complete` or above the thinking ends and `finish` has it write the answer. `fast` verifications of at most
/// `fast_tokens` tokens that agree at least `agreement` decide; otherwise one of at most `verify_tokens` does. A
/// rejected solution is followed by `feedback` and solved again, up to `rounds` times. The answer is the solution with
/// the best verdict.
///
/// Paper: Solve-Detect-Verify: Inference-Time Scaling with Flexible Generative Verifier (Zhong et al., 2025), whose
/// verifier is a model trained for it; ours is any model with a prompt.
struct SolveDetectVerify: Strategy {
  static let id = "solve-detect-verify"

  private let words: [String]
  private let complete: Double
  private let probe: String
  private let finish: String
  private let finishTokens: Int
  private let fast: Int
  private let fastTokens: Int
  private let agreement: Double
  private let rounds: Int
  private let feedback: String
  private let verifier: Verifier

  init(_ run: RunContext) throws {
    let options = run.component
    words = try options.text("words").split(separator: ",").map(String.init)
    complete = try options.number("complete")
    probe = try run.filled(try options.text("probe"))
    finish = try run.filled(try options.text("finish"))
    finishTokens = try options.integer("finish_tokens")
    fast = try options.integer("fast")
    fastTokens = try options.integer("fast_tokens")
    agreement = try options.number("agreement")
    rounds = try options.integer("rounds")
    feedback = try options.text("feedback")
    verifier = try Verifier(run)
  }

  func run(_ run: RunContext) throws {
    var attempt = try Attempt(in: run.root().fork(1)[0])
    var best: Double?
    var (detected, slow) = (0, 0)
    try run.untilRunEnds { () throws(PluginError) in
      for round in 0...rounds {
        let end = try run.untilRunEnds { () throws(PluginError) in
          if try solve(attempt.branch, run) { detected += 1 }
        }
        let text = try attempt.text()
        let candidate = try run.candidate(attempt.branch)
        if best == nil { try run.answer(candidate) }
        if let end { throw end }
        let verdict = try verify(text, &slow, run)
        try run.setScore(verdict.probability, of: candidate)
        if best.map({ verdict.probability > $0 }) ?? true {
          best = verdict.probability
          try run.answer(candidate)
        }
        if verdict.probability > 0.5 || round == rounds { return }
        let bridge = try run.filled(feedback, ["feedback": verdict.reasoning])
        let before = attempt.branch
        let next = try run.ifRoom { () throws(PluginError) in
          try Attempt(after: before, bridge: bridge)
        }
        guard let next else { return }
        attempt = next
        try before.release()
      }
    }
    try run.component.trace("detected", ["early": .integer(detected), "slow": .integer(slow)])
  }

  /// Thinks until the sequence ends, or until the model holds its solution complete and has written the answer; true for
  /// the latter.
  private func solve(_ branch: Branch, _ run: RunContext) throws(PluginError) -> Bool {
    while true {
      try run.advance([branch], Advance(delimiters: words))
      if try branch.state().isFinished { return false }
      let odds = try run.labelProbabilities(
        [branch], probe: probe, labels: [verifier.yes, verifier.no])[0]
      let total = odds[0] + odds[1]
      guard total > 0, odds[0] / total >= complete else { continue }
      guard try run.ifRoom({ () throws(PluginError) in try branch.append(finish) }) != nil else {
        return true
      }
      try run.advance([branch], Advance(maxTokens: finishTokens))
      return true
    }
  }

  /// The verdict of the fast verifications where they agree, else of a slow one.
  private func verify(
    _ text: String, _ slow: inout Int, _ run: RunContext
  ) throws(PluginError) -> Verifier.Verdict {
    if fast > 0 {
      var quick = verifier
      quick.tokens = fastTokens
      let verdicts = try quick.verdicts(on: [text], times: fast, run)[0]
      let right = Double(verdicts.count { $0.probability > 0.5 }) / Double(fast)
      if max(right, 1 - right) >= agreement {
        let mean = verdicts.reduce(0) { $0 + $1.probability } / Double(fast)
        // What a verdict on the winning side says is what the solver is told.
        let speaker = verdicts.first { ($0.probability > 0.5) == (right >= 0.5) } ?? verdicts[0]
        return Verifier.Verdict(probability: mean, reasoning: speaker.reasoning)
      }
    }
    slow += 1
    return try verifier.verdicts(on: [text], run)[0][0]
  }
}
