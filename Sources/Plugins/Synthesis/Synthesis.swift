import MartletPlugin

/// Candidate synthesis: several answers are laid before the model at once, which writes a better one from them.
///
/// `instruction` asks for it, with `{prompt}` and `{answers}`, the numbered candidates; `syntheses` of them are written,
/// and where there are several they vote, or the scorer chooses if the run has one. `model` names another model as
/// synthesizer.
///
/// Paper: CoT-based Synthesizer: Enhancing LLM Performance through Answer Synthesis (Zhang et al., 2025).
struct Synthesis: Strategy {
  static let id = "synthesis"

  private let width: Int
  private let syntheses: Int
  private let instruction: String
  private let model: String

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    syntheses = try run.component.integer("syntheses")
    instruction = try run.component.text("instruction")
    model = try run.component.text("model")
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(width)
    let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
    var listed = ""
    for (index, branch) in branches.enumerated() {
      listed += "(\(index + 1)) \(try branch.text())\n"
    }
    // Until there is a synthesis, the answers themselves count.
    try run.answerByVote(of: branches)
    if end != nil { return }
    try run.untilRunEnds { () throws(PluginError) in
      let question = try run.filled(instruction, ["answers": listed])
      let asked = try run.open(question, onModelNamed: model, as: .chat)
      let written = try asked.fork(syntheses)
      let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(written) }
      var isComplete = false
      for branch in written where try branch.state().isComplete { isComplete = true }
      if let end, !isComplete { throw end }
      var votes = Votes()
      for branch in written where try branch.state().generatedTokens > 0 {
        let candidate = try run.candidate(text: try branch.text())
        votes.add(
          try run.answer(of: candidate), merit: try branch.state().logprob, candidate: candidate)
      }
      if let winner = votes.winner { try run.answer(winner.best) }
    }
  }
}
