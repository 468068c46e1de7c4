import Foundation

/// Which pipelines go on to more problems: successive halving, with a paired test at each round.
///
/// All pipelines that are left run on the same problems. After each round those that are really worse than the leader
/// (the exact paired test, Holm's correction over the round, an equal part of the level for each round) are out; of the
/// others so many with the fewest right answers that every round takes about as many runs as the first. The decisions
/// follow from the records alone.
///
/// Sources: "Almost Optimal Exploration in Multi-Armed Bandits" (Karnin et al., 2013) for the halving, "The Racing
/// Algorithm: Model Selection for Lazy Learners" (Maron and Moore, 1997) and "A Racing Algorithm for Configuring
/// Metaheuristics" (Birattari et al., 2002) for the tests on paired problems.
public struct PipelineRace: Sendable {
  /// The chance that a pipeline as good as the leader is called worse in any round.
  private static let level = 0.05
  /// So many are compared on all problems.
  static let finalists = 4
  /// A round of fewer problems tells too little.
  private static let fewest = 8

  /// Why a pipeline left the race.
  public enum Ending: String, Sendable, Encodable {
    /// It is the best.
    case best
    /// It was compared with the best on all problems.
    case finalist
    /// It is worse than the leader, and more than by chance.
    case worse
    /// It was among those with the fewest right answers, which may be chance.
    case halved
  }

  /// What became of one pipeline.
  public struct Standing: Sendable {
    public let strategy: StrategySpec
    /// The rounds it ran in.
    public let rounds: Int
    public let problems: Int
    public let right: Estimate
    /// Tokens of all kinds per problem.
    public let tokens: Double
    public let ending: Ending
    /// Its share right less that of the leader when it left, on the same problems; nil for the best.
    public let behind: Estimate?
    /// What the first of its runs that failed said; nil where none did.
    public let failure: String?
  }

  /// Problems of each round, all before included; the last has all.
  let rounds: [Int]
  /// How many go on from each round.
  let places: [Int]

  /// - Parameters:
  ///   - pipelines: how many begin.
  ///   - problems: how many there are.
  init(pipelines: Int, problems: Int) {
    let last = min(Self.finalists, pipelines)
    let halvings = max(0, log2(Double(pipelines) / Double(last)).rounded(.up))
    let doublings = max(0, log2(Double(problems) / Double(Self.fewest)).rounded(.down))
    let count = Int(min(halvings, doublings)) + 1
    rounds = (0..<count).map { max(1, problems >> (count - 1 - $0)) }
    places = (0..<count).map { round in
      guard round + 1 < count else { return 1 }
      let share = Double(round + 1) / Double(count - 1)
      let wanted = Double(pipelines) * pow(Double(last) / Double(pipelines), share)
      return max(last, Int(wanted.rounded()))
    }
  }

  /// Splits the pipelines of a round into those that go on, the best first, and those that do not.
  /// - Parameters:
  ///   - records: of each pipeline on the round's problems.
  ///   - round: from 0.
  func decide(
    _ records: [(strategy: StrategySpec, runs: [RunRecord])], round: Int, ranAfter last: Int? = nil
  ) -> (onward: [StrategySpec], out: [Standing]) {
    struct Entry {
      let strategy: StrategySpec
      let runs: [RunRecord]
      let right: Int
      let tokens: Double
    }
    let entries = records.enumerated().map { index, record in
      let tokens = record.runs.reduce(0) { $0 + $1.usage.totalTokens }
      return (
        index,
        Entry(
          strategy: record.strategy, runs: record.runs, right: record.runs.count { $0.correct },
          tokens: Double(tokens) / Double(max(1, record.runs.count)))
      )
    }.sorted {
      ($1.1.right, $0.1.tokens, $0.0) < ($0.1.right, $1.1.tokens, $1.0)
    }.map(\.1)
    guard let leader = entries.first else { return ([], []) }

    let tests = entries.dropFirst().map { PairedTest(leader.runs, $0.runs) }
    let chances = holmAdjusted(tests.map(\.pValue))
    let isLast = round + 1 == rounds.count
    var onward = [leader.strategy]
    var out: [Standing] = []
    func standing(_ entry: Entry, _ ending: Ending, _ behind: Estimate?) -> Standing {
      Standing(
        strategy: entry.strategy, rounds: (last ?? round) + 1, problems: entry.runs.count,
        right: .share(
          Double(entry.right) / Double(max(1, entry.runs.count)), of: Double(entry.runs.count)),
        tokens: entry.tokens, ending: ending, behind: behind,
        failure: entry.runs.lazy.compactMap(\.failure).first)
    }
    for ((entry, test), chance) in zip(zip(entries.dropFirst(), tests), chances) {
      let difference = test.interval()
      let behind = Estimate(mean: -difference.mean, low: -difference.high, high: -difference.low)
      if chance < Self.level / Double(rounds.count) {
        out.append(standing(entry, .worse, behind))
      } else if onward.count >= places[round] {
        out.append(standing(entry, isLast ? .finalist : .halved, behind))
      } else {
        onward.append(entry.strategy)
      }
    }
    if isLast { out.insert(standing(leader, .best, nil), at: 0) }
    return (onward, out)
  }
}
