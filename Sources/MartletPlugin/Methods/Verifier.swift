/// A model that is shown the question and an answer, reasons about it, and says whether it is right.
///
/// Source: Generative Verifiers: Reward Modeling as Next-Token Prediction (Zhang et al., 2024).
public struct Verifier: Sendable {
  /// What it is asked, with `{prompt}` and `{answer}`.
  public var instruction: String
  /// What demands the verdict once it has reasoned.
  public var verdict: String
  /// The verdicts, which must begin with different tokens.
  public var yes: String
  public var no: String
  /// The most tokens of its reasoning; 0 for a verdict at once.
  public var tokens: Int
  /// Another model's name or file; empty for the run's own.
  public var model: String

  /// One verdict.
  public struct Verdict: Sendable {
    /// That the answer is right: p(yes) / (p(yes) + p(no)), ½ where both are 0.
    public let probability: Double
    /// What was written before it.
    public let reasoning: String

    /// A verdict.
    public init(probability: Double, reasoning: String) {
      (self.probability, self.reasoning) = (probability, reasoning)
    }
  }

  /// A verifier.
  public init(
    instruction: String, verdict: String, yes: String, no: String, tokens: Int, model: String
  ) {
    self.instruction = instruction
    self.verdict = verdict
    (self.yes, self.no) = (yes, no)
    self.tokens = tokens
    self.model = model
  }

  /// Reads the options `verify`, `verdict`, `yes`, `no`, `verify_tokens` and `verifier`.
  public init(_ run: RunContext) throws(PluginError) {
    self.init(
      instruction: try run.component.text("verify"), verdict: try run.component.text("verdict"),
      yes: try run.component.text("yes"), no: try run.component.text("no"),
      tokens: try run.component.integer("verify_tokens"),
      model: try run.component.text("verifier"))
  }

  /// `times` verdicts on each answer, all in one batch.
  public func verdicts(
    on answers: [String], times: Int = 1, _ run: RunContext
  ) throws(PluginError) -> [[Verdict]] {
    guard !answers.isEmpty, times > 0 else { return answers.map { _ in [] } }
    var judges: [Branch] = []
    defer { for judge in judges { try? judge.release() } }
    for answer in answers {
      let asked = try run.open(
        run.filled(instruction, ["answer": answer]), onModelNamed: model, as: .chat)
      judges += try asked.fork(times)
      try asked.release()
    }
    if tokens > 0 { try run.advance(judges, Advance(maxTokens: tokens)) }
    let odds = try run.labelProbabilities(
      judges, probe: try run.filled(verdict), labels: [yes, no], onOtherModel: !model.isEmpty)
    var verdicts: [Verdict] = []
    for (judge, odds) in zip(judges, odds) {
      let total = odds[0] + odds[1]
      verdicts.append(
        Verdict(probability: total > 0 ? odds[0] / total : 0.5, reasoning: try judge.text()))
    }
    return answers.indices.map { Array(verdicts[$0 * times..<($0 + 1) * times]) }
  }

  /// The mean of `times` verdicts on each answer.
  public func means(
    on answers: [String], times: Int = 1, _ run: RunContext
  ) throws(PluginError) -> [Double] {
    try verdicts(on: answers, times: times, run).map { own in
      own.reduce(0) { $0 + $1.probability } / Double(max(1, own.count))
    }
  }
}

extension RunContext {
  /// Opens a branch on the model of that name or file; on the run's own where the name is empty.
  public func open(
    _ prompt: String, onModelNamed name: String, as form: PromptForm = .plain
  ) throws(PluginError) -> Branch {
    name.isEmpty ? try open(prompt, as: form) : try open(prompt, on: model(name), as: form)
  }
}
