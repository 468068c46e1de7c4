import MartletPlugin

/// Self-consistency: generate n answers and keep the one that most of them agree on.
///
/// Branches vote with what the run's extractor finds in them. When the budget ends early, only
/// complete branches vote, unless none is complete. Ties go to the answer whose voters have the
/// higher total log-probability, then to the one seen first. Each candidate's score is the share of
/// votes of its answer; the likeliest voter for the winning answer gives the text.
///
/// Paper: Self-Consistency Improves Chain of Thought Reasoning in Language Models (Wang et al.,
/// 2023).
struct SelfConsistency: Strategy {
  static let id = "self-consistency"

  private let width: Int

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(width)
    try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }

    let states = try branches.map { try $0.state() }
    let anyComplete = states.contains { $0.isComplete }
    let voters = branches.indices.filter { states[$0].isComplete || !anyComplete }
    var poll = Poll()
    for voter in voters {
      guard let answer = try branches[voter].extract() else { continue }
      poll.add(voter: voter, answer: answer, logprob: states[voter].logprob)
    }

    let candidates = try branches.indices.map { index in
      try run.candidate(branches[index], score: Double(poll.votes(of: index)) / Double(width))
    }
    // Without a single vote the likeliest branch has to do.
    let pool = poll.winner?.voters ?? voters
    if let answer = pool.max(by: { states[$0].logprob < states[$1].logprob }) {
      try run.answer(candidates[answer])
    }
    try run.component.trace(
      "vote",
      [
        "answer": .text(poll.winner?.answer ?? ""), "answers": .integer(poll.options.count),
        "votes": .integer(poll.winner?.voters.count ?? 0), "voters": .integer(voters.count),
      ])
  }
}

/// Votes for answers, in the order in which answers were first seen.
private struct Poll {
  struct Option {
    let answer: String
    var voters: [Int]
    var logprob: Double
  }

  private(set) var options: [Option] = []

  mutating func add(voter: Int, answer: String, logprob: Double) {
    if let known = options.firstIndex(where: { $0.answer == answer }) {
      options[known].voters.append(voter)
      options[known].logprob += logprob
    } else {
      options.append(Option(answer: answer, voters: [voter], logprob: logprob))
    }
  }

  var winner: Option? {
    var best: Option?
    for option in options {
      if let best, (option.voters.count, option.logprob) <= (best.voters.count, best.logprob) {
        continue
      }
      best = option
    }
    return best
  }

  /// Votes that the answer of `voter` got; 0 for one that did not vote.
  func votes(of voter: Int) -> Int {
    options.first { $0.voters.contains(voter) }?.voters.count ?? 0
  }
}
