import MartletPlugin

/// Critique with a second model: a critic reads every answer and says whether it is right and what is wrong; what it
/// rejects is written anew with its criticism, what it accepts stands, and all vote in the end.
///
/// `verifier` names the critic's model, empty for the run's own. A vote weighs as much as the critic's last verdict on it.
/// Answers written anew but not judged any more count half.
///
/// Paper: Enhancing LLM Reasoning via Critique Models with Test-Time and Training-Time Supervision (Xi et al., 2024), whose
/// critic is trained to judge step by step; ours judges by its prompt.
struct CritiqueLoop: Strategy {
  static let id = "critique"

  private let width: Int
  private let rounds: Int
  private let accept: Double
  private let rewrite: String
  private let critic: Verifier

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    rounds = try run.component.integer("rounds")
    accept = try run.component.number("accept")
    rewrite = try run.component.text("rewrite")
    critic = try Verifier(run)
  }

  private struct Answer {
    var branch: Branch
    var weight = 0.5
    var stands = false
  }

  func run(_ run: RunContext) throws {
    var answers: [Answer] = []
    for branch in try run.root().fork(width) { answers.append(Answer(branch: branch)) }
    var rewritten = 0
    try run.untilRunEnds { () throws(PluginError) in
      try run.advance(answers.map(\.branch))
      for round in 0...rounds {
        let open = answers.indices.filter { !answers[$0].stands }
        if open.isEmpty { return }
        var texts: [String] = []
        for index in open { texts.append(try answers[index].branch.text()) }
        let verdicts = try critic.verdicts(on: texts, run)
        var next: [(index: Int, branch: Branch)] = []
        for ((index, text), verdict) in zip(zip(open, texts), verdicts) {
          answers[index].weight = verdict[0].probability
          answers[index].stands = verdict[0].probability >= accept
          if answers[index].stands || round == rounds { continue }
          let question = try run.filled(
            rewrite, ["answer": text, "critique": verdict[0].reasoning])
          next.append((index, try run.open(question, as: .chat)))
        }
        if next.isEmpty { return }
        let end = try run.untilRunEnds { () throws(PluginError) in
          try run.advance(next.map(\.branch))
        }
        for (index, branch) in next {
          if end != nil, try !branch.state().isComplete { continue }
          try answers[index].branch.release()
          answers[index] = Answer(branch: branch)
          rewritten += 1
        }
        if let end { throw end }
      }
    }
    try run.answerByVote(of: answers.map(\.branch), weights: answers.map(\.weight))
    try run.component.trace("critique", ["rewritten": .integer(rewritten)])
  }
}
