import MartletPlugin

/// A generative judge: a model is shown the question and an answer, reasons about it, and says whether it is
/// right; the score is the mean over several such verdicts of p(yes) / (p(yes) + p(no)).
///
/// `instruction` is what the judge is asked, with `{prompt}` and `{answer}`; it writes at most `tokens` tokens
/// before `verdict` is appended and the probabilities of `yes` and `no` are read. `tokens=0` reads them at once.
/// `model` is another model's name or file; empty for the run's own.
///
/// Paper: Generative Verifiers: Reward Modeling as Next-Token Prediction (Zhang et al., 2024).
struct GenerativeJudge: BranchScorer {
  static let id = "generative-judge"

  private let instruction: String
  private let verdict: String
  private let labels: [String]
  private let times: Int
  private let tokens: Int
  private let name: String

  init(_ run: RunContext) throws {
    instruction = try run.component.text("instruction")
    verdict = try run.filled(try run.component.text("verdict"))
    labels = [try run.component.text("yes"), try run.component.text("no")]
    times = try run.component.integer("verdicts")
    tokens = try run.component.integer("tokens")
    name = try run.component.text("model")
  }

  func score(_ branches: [Branch], _ run: RunContext) throws -> [Double] {
    let model = name.isEmpty ? nil : try run.model(name)
    var judges: [Branch] = []
    defer { for judge in judges { try? judge.release() } }
    for branch in branches {
      let question = try run.filled(instruction, ["answer": try branch.text()])
      let asked: Branch
      if let model {
        asked = try run.open(question, on: model, as: .chat)
      } else {
        asked = try run.open(question, as: .chat)
      }
      judges += try asked.fork(times)
      try asked.release()
    }
    if tokens > 0 { try run.advance(judges, Advance(maxTokens: tokens)) }
    let odds = try run.labelProbabilities(
      judges, probe: verdict, labels: labels, onOtherModel: model != nil)
    return branches.indices.map { index in
      let own = odds[index * times..<(index + 1) * times]
      return own.reduce(0) { sum, odds in
        let total = odds[0] + odds[1]
        return sum + (total > 0 ? odds[0] / total : 0.5)
      } / Double(times)
    }
  }
}
