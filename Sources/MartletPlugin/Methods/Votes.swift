import Glibc

/// A count of answers, with weights.
///
/// Answers are compared as the extractor wrote them. The winner is the answer with most weight; of
/// equals the one that more voted for, then the one whose voters have more merit together, then the one
/// that was voted for first.
public struct Votes {
  /// What was voted for one answer.
  public struct Tally: Sendable, Equatable {
    /// The answer.
    public let answer: String
    /// Sum of the weights.
    public var weight: Double
    /// How many voted for it.
    public var count: Int
    /// Sum of the merits.
    public var merit: Double
    /// The candidate with the most merit among them, the first of equals.
    public var best: Candidate
    var bestMerit: Double
  }

  /// By answer, in the order in which each was first voted for.
  public private(set) var tallies: [Tally] = []
  /// Votes that were cast, those without an answer included.
  public private(set) var cast = 0
  /// The candidate with the most merit of all, those without an answer included: what has to do where
  /// nobody votes.
  public private(set) var likeliest: Candidate?
  private var mostMerit = -Double.infinity
  private var places: [String: Int] = [:]

  /// No votes.
  public init() {}

  /// Counts a vote; a candidate without an answer abstains.
  /// - Parameter merit: which of those with one answer speaks for it; the weight if not given.
  public mutating func add(
    _ answer: String?, weight: Double = 1, merit: Double? = nil, candidate: Candidate
  ) {
    cast += 1
    let merit = merit ?? weight
    if likeliest == nil || merit > mostMerit { (likeliest, mostMerit) = (candidate, merit) }
    guard let answer else { return }
    guard let place = places[answer] else {
      places[answer] = tallies.count
      tallies.append(
        Tally(
          answer: answer, weight: weight, count: 1, merit: merit, best: candidate, bestMerit: merit)
      )
      return
    }
    tallies[place].weight += weight
    tallies[place].count += 1
    tallies[place].merit += merit
    if merit > tallies[place].bestMerit {
      tallies[place].best = candidate
      tallies[place].bestMerit = merit
    }
  }

  /// The tallies, the winner first.
  public var ranking: [Tally] {
    tallies.enumerated().sorted { a, b in
      (a.element.weight, Double(a.element.count), a.element.merit, Double(b.offset))
        > (b.element.weight, Double(b.element.count), b.element.merit, Double(a.offset))
    }.map(\.element)
  }

  /// The winner; nil when nobody voted.
  public var winner: Tally? { ranking.first }

  /// The winner's candidate; without a single vote the likeliest.
  public var chosen: Candidate? { winner?.best ?? likeliest }

  /// The winner's part of all weight; 0 when nobody voted.
  public var agreement: Double { share(of: winner?.answer) }

  /// An answer's part of all weight; 0 for one that nobody voted for.
  public func share(of answer: String?) -> Double {
    let total = tallies.reduce(0) { $0 + $1.weight }
    guard total > 0, let place = answer.flatMap({ places[$0] }) else { return 0 }
    return tallies[place].weight / total
  }

  /// Entropy of the answers' parts, nats (source of its use: semantic entropy, "Detecting
  /// hallucinations in large language models using semantic entropy"); 0 when nobody voted.
  public var entropy: Double {
    tallies.reduce(0) { sum, tally in
      let part = share(of: tally.answer)
      return part > 0 ? sum - part * log(part) : sum
    }
  }
}

/// Branches that voted, and what came of it.
public struct VotedBranches {
  /// The count.
  public let votes: Votes
  /// A candidate for each branch, in their order.
  public let candidates: [Candidate]
  /// What was found in each branch; nil for those that did not vote.
  public let answers: [String?]
}

extension RunContext {
  /// Records branches as candidates, lets them vote with what the run's extractor finds in them, and
  /// names the winner as the answer.
  ///
  /// Where some branches are complete, only those vote. Ties go to the answer whose voters have the higher
  /// log-probability together; of those that voted for the winner the one with the highest speaks for it.
  /// Without a single vote the likeliest branch has to do. Each candidate's score is its answer's part of
  /// all branches' weight, that of those without an answer included.
  ///
  /// - Parameter weights: one for each branch; nil for one vote each.
  @discardableResult
  public func answerByVote(
    of branches: [Branch], weights: [Double]? = nil
  ) throws(PluginError) -> VotedBranches {
    var states: [BranchState] = []
    for branch in branches { states.append(try branch.state()) }
    let anyComplete = states.contains { $0.isComplete }
    var votes = Votes()
    var (candidates, answers): ([Candidate], [String?]) = ([], [])
    for (index, branch) in branches.enumerated() {
      let candidate = try candidate(branch)
      let mayVote = states[index].isComplete || !anyComplete
      let answer = mayVote ? try self.answer(of: candidate) : nil
      votes.add(
        answer, weight: weights?[index] ?? 1, merit: states[index].logprob, candidate: candidate)
      candidates.append(candidate)
      answers.append(answer)
    }
    let all = weights?.reduce(0, +) ?? Double(branches.count)
    for (candidate, answer) in zip(candidates, answers) {
      let weight = votes.tallies.first { $0.answer == answer }?.weight ?? 0
      try setScore(all > 0 ? weight / all : 0, of: candidate)
    }
    let likeliest = states.indices.max { states[$0].logprob < states[$1].logprob }
    if let named = votes.winner?.best ?? likeliest.map({ candidates[$0] }) {
      try self.answer(named)
    }
    return VotedBranches(votes: votes, candidates: candidates, answers: answers)
  }
}
