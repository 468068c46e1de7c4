import MartletPlugin

/// Chains of thought and programs of thought: the question is reasoned through in words and written as a program, the
/// programs are evaluated, and answers that both come to count most.
///
/// `n` chains answer the prompt; `programs` texts are asked for with `program`, and each is evaluated within the plugin
/// (``Arithmetic``: assignments and expressions, no loops, files or processes, at most `operations` operations). Every
/// chain and every program that comes to an end is a vote; one whose answer no text of the other kind came to counts
/// `alone` of a vote.
///
/// Paper: Improving LLM Reasoning through Scaling Inference Computation with Collaborative Verification (Liang et al.,
/// 2024), which runs Python and then asks trained verifiers; ours evaluates arithmetic and lets agreement decide.
struct ChainAndProgram: Strategy {
  static let id = "chain-and-program"

  private let chains: Int
  private let programs: Int
  private let instruction: String
  private let programTokens: Int
  private let operations: Int
  private let alone: Double

  init(_ run: RunContext) throws {
    let options = run.component
    chains = try options.integer("n")
    programs = try options.integer("programs")
    instruction = try run.filled(try options.text("program"))
    programTokens = try options.integer("program_tokens")
    operations = try options.integer("operations")
    alone = try options.number("alone")
  }

  private struct Vote {
    let answer: String?
    let logprob: Double
    let candidate: Candidate
    let isProgram: Bool
  }

  func run(_ run: RunContext) throws {
    let root = try run.root()
    var votes: [Vote] = []
    var failed = 0
    try run.untilRunEnds { () throws(PluginError) in
      let words = try root.fork(chains)
      let asked = try run.open(instruction, as: .chat)
      let written = try asked.fork(programs)
      try asked.release()
      let end = try run.untilRunEnds { () throws(PluginError) in
        try run.advance(
          together: [
            (words, Advance()),
            (written, Advance(maxTokens: programTokens == 0 ? nil : programTokens)),
          ])
      }
      for branch in words {
        let candidate = try run.candidate(branch)
        votes.append(
          Vote(
            answer: try run.answer(of: candidate), logprob: try branch.state().logprob,
            candidate: candidate, isProgram: false))
        try branch.release()
      }
      for branch in written {
        let (text, logprob) = (try branch.text(), try branch.state().logprob)
        try branch.release()
        guard let value = Arithmetic.value(ofProgram: text, operations: operations) else {
          failed += 1
          continue
        }
        let candidate = try run.candidate(text: "\(text)\n#### \(value)")
        votes.append(
          Vote(
            answer: try run.answer(of: candidate), logprob: logprob, candidate: candidate,
            isProgram: true))
      }
      if let end { throw end }
    }
    try decide(votes, run)
    try run.component.trace(
      "programs", ["evaluated": .integer(votes.count { $0.isProgram }), "failed": .integer(failed)])
  }

  private func decide(_ votes: [Vote], _ run: RunContext) throws(PluginError) {
    var said: [Bool: Set<String>] = [:]
    for vote in votes {
      if let answer = vote.answer { said[vote.isProgram, default: []].insert(answer) }
    }
    var poll = Votes()
    for vote in votes {
      let isShared = vote.answer.map { said[!vote.isProgram]?.contains($0) ?? false } ?? false
      poll.add(
        vote.answer, weight: isShared ? 1 : alone, merit: vote.logprob, candidate: vote.candidate)
    }
    for vote in votes { try run.setScore(poll.share(of: vote.answer), of: vote.candidate) }
    if let chosen = poll.chosen { try run.answer(chosen) }
  }
}
