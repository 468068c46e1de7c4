import MartletPlugin

/// P(True): the model is asked whether what it wrote is right, and its probability of saying so is the score,
/// in 0…1.
///
/// `probe` is appended to the text and the probabilities of `yes` and `no` as the next token are compared:
/// p(yes) / (p(yes) + p(no)). The question is answered from the keys and values of the text itself, and costs the
/// probe's tokens. A text that leaves no room for it in the context is worth 0, as is one after which neither can come.
///
/// Paper: Language Models (Mostly) Know What They Know (Kadavath et al., 2022).
struct PTrue: BranchScorer {
  static let id = "p-true"

  private let probe: String
  private let labels: [String]

  init(_ run: RunContext) throws {
    probe = try run.filled(try run.component.text("probe"))
    labels = [try run.component.text("yes"), try run.component.text("no")]
  }

  func score(_ branches: [Branch], _ run: RunContext) throws -> [Double] {
    try run.labelProbabilities(branches, probe: probe, labels: labels).map { odds in
      let total = odds[0] + odds[1]
      return total > 0 ? odds[0] / total : 0
    }
  }
}
