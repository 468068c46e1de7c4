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

  private let verifier: Verifier
  private let times: Int

  init(_ run: RunContext) throws {
    let options = run.component
    verifier = Verifier(
      instruction: try options.text("instruction"), verdict: try options.text("verdict"),
      yes: try options.text("yes"), no: try options.text("no"),
      tokens: try options.integer("tokens"), model: try options.text("model"))
    times = try options.integer("verdicts")
  }

  func score(_ branches: [Branch], _ run: RunContext) throws -> [Double] {
    try verifier.means(on: branches.map { try $0.text() }, times: times, run)
  }
}
