import MartletPlugin

/// Sample, scrutinise and scale: many answers, each scrutinised many times, and those that come out nearly alike compared
/// with one another.
///
/// Answers whose mean verdict is within `within` of the best are the leaders. Where they say different things, each two
/// are laid before the verifier `comparisons` times, in either order in turns so that no place is favoured, and the
/// answer that wins most comparisons is named. Until there is a verdict the vote counts.
///
/// Paper: Sample, Scrutinize and Scale: Effective Inference-Time Search by Scaling Verification (Zhao et al., 2025).
/// Ours compares one text for each distinct answer, and reads verdicts as probabilities of `yes` against `no`.
struct SampleScrutinize: Strategy {
  static let id = "sample-scrutinize"

  private let width: Int
  private let verifications: Int
  private let within: Double
  private let comparisons: Int
  private let most: Int
  private let verifier: Verifier
  private let judge: Verifier

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    verifications = try run.component.integer("verifications")
    within = try run.component.number("within")
    comparisons = try run.component.integer("comparisons")
    most = try run.component.integer("compared")
    verifier = try Verifier(run)
    judge = Verifier(
      instruction: try run.component.text("compare"),
      verdict: try run.component.text("choice"), yes: try run.component.text("first"),
      no: try run.component.text("second"), tokens: verifier.tokens, model: verifier.model)
  }

  private struct Leader {
    let candidate: Candidate
    let text: String
    var wins = 0.0
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(width)
    let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
    let voted = try run.answerByVote(of: branches)
    if end != nil { return }
    var leaders: [Leader] = []
    try run.untilRunEnds { () throws(PluginError) in
      var texts: [String] = []
      for branch in branches { texts.append(try branch.text()) }
      let means = try verifier.means(on: texts, times: verifications, run)
      var answers: Set<String?> = []
      for index in Weights.order(means) {
        try run.setScore(means[index], of: voted.candidates[index])
        if leaders.isEmpty { try run.answer(voted.candidates[index]) }
        guard leaders.count < most, means[index] >= means.max()! - within,
          answers.insert(voted.answers[index]).inserted
        else { continue }
        leaders.append(Leader(candidate: voted.candidates[index], text: texts[index]))
      }
      guard leaders.count > 1, comparisons > 0 else { return }
      try compare(&leaders, run)
      try run.answer(leaders[Weights.order(leaders.map(\.wins))[0]].candidate)
    }
    try run.component.trace(
      "scrutinized",
      ["leaders": .integer(leaders.count), "wins": .number(leaders.map(\.wins).max() ?? 0)])
  }

  /// Lays each two leaders before the judge, half the time in reverse.
  private func compare(_ leaders: inout [Leader], _ run: RunContext) throws(PluginError) {
    var pairs: [(Int, Int)] = []
    for first in leaders.indices {
      for second in leaders.indices.dropFirst(first + 1) {
        for time in 0..<comparisons {
          pairs.append(time % 2 == 0 ? (first, second) : (second, first))
        }
      }
    }
    var questions: [String] = []
    for (first, second) in pairs {
      questions.append(
        try run.filled(judge.instruction, ["a": leaders[first].text, "b": leaders[second].text]))
    }
    var asked = judge
    asked.instruction = "{answer}"
    for (pair, mean) in zip(pairs, try asked.means(on: questions, run)) {
      leaders[pair.0].wins += mean > 0.5 ? 1 : mean == 0.5 ? 0.5 : 0
      leaders[pair.1].wins += mean < 0.5 ? 1 : mean == 0.5 ? 0.5 : 0
    }
  }
}
