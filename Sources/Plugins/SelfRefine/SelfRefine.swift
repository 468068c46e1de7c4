import MartletPlugin

/// Self-refine: the model criticises its own answer and writes it anew, as long as that helps.
///
/// In each round the question and the answer are put to the model with `critique`, and its criticism together with both
/// with `rewrite`. With a scorer a rewriting that scores no better ends it, and the best is kept; without one that can
/// judge the prompt the last rewriting is the answer. A critique that contains `stop` ends it too. `critic` names another model for the criticism.
///
/// Papers: Self-Refine: Iterative Refinement with Self-Feedback (Madaan et al., 2023); with `critic`, Enhancing LLM
/// Reasoning via Critique Models with Test-Time and Training-Time Supervision (Xi et al., 2024).
struct SelfRefine: Strategy {
  static let id = "self-refine"

  private let rounds: Int
  private let critique: String
  private let rewrite: String
  private let stop: String
  private let critic: String
  private let critiqueTokens: Int

  init(_ run: RunContext) throws {
    rounds = try run.component.integer("rounds")
    critique = try run.component.text("critique")
    rewrite = try run.component.text("rewrite")
    stop = try run.component.text("stop")
    critic = try run.component.text("critic")
    critiqueTokens = try run.component.integer("critique_tokens")
  }

  func run(_ run: RunContext) throws {
    var current = try run.root().fork(1)[0]
    var best: Double?
    try run.untilRunEnds { () throws(PluginError) in
      let end = try run.untilRunEnds { () throws(PluginError) in try run.advance([current]) }
      best = try note(current, best, run).score
      if let end { throw end }
      for _ in 0..<rounds {
        let text = try current.text()
        let criticism = try criticize(text, run)
        if !stop.isEmpty, criticism.contains(stop) { return }
        let question = try run.filled(rewrite, ["answer": text, "critique": criticism])
        let next = try run.open(question, as: .chat)
        let end = try run.untilRunEnds { () throws(PluginError) in try run.advance([next]) }
        let noted = try note(next, best, run)
        if let end { throw end }
        if !noted.isBetter { return }
        best = noted.score
        try current.release()
        current = next
      }
    }
  }

  private func criticize(_ text: String, _ run: RunContext) throws(PluginError) -> String {
    let question = try run.filled(critique, ["answer": text])
    let asked = try run.open(question, onModelNamed: critic, as: .chat)
    try run.advance([asked], Advance(maxTokens: critiqueTokens))
    let criticism = try asked.text()
    try asked.release()
    return criticism
  }

  /// Records an answer, and names it where it is the best so far or nobody judges.
  private func note(
    _ branch: Branch, _ best: Double?, _ run: RunContext
  ) throws(PluginError) -> (score: Double?, isBetter: Bool) {
    let candidate = try run.candidate(branch)
    guard let score = try run.scoresIfJudged([branch])?.first else {
      try run.answer(candidate)
      return (nil, true)
    }
    try run.setScore(score, of: candidate)
    let isBetter = best.map { score > $0 } ?? true
    if isBetter { try run.answer(candidate) }
    return (isBetter ? score : best, isBetter)
  }
}
