import Foundation

/// What the records of an evaluation show.
public struct EvalAnalysis: Sendable, Encodable {
  /// One strategy under one budget.
  public struct Cell: Sendable, Encodable {
    public let strategy: String
    public let budget: String
    public let problems: Int
    public let runs: Int
    /// Runs that ended with an error, by a plugin's failure included.
    public let failed: Int
    public let abstained: Int
    /// Runs that a budget ended.
    public let cutShort: Int
    public let right: Estimate
    public let generatedTokens: Estimate
    public let totalTokens: Estimate
    public let cpuSeconds: Estimate
    public let seconds: Estimate
    public let peakKVBytes: Estimate
    /// The share right by group of problems.
    public let groups: [String: Estimate]
    public let coverage: Coverage?
    public let calibration: Calibration?
    public let verifier: VerifierQuality?
    public let anytime: Anytime?
  }

  /// Two strategies under one budget, on the runs that both have.
  public struct Comparison: Sendable, Encodable {
    public let budget: String
    public let first: String
    public let second: String
    public let problems: Int
    /// Problems of which only the first, or only the second, got more right.
    public let firstAhead: Int
    public let secondAhead: Int
    /// The first's share right less the second's.
    public let difference: Estimate
    public let pValue: Double
    /// After Holm's correction over all comparisons of the report.
    public let adjustedPValue: Double

    /// Whether the difference is more than chance.
    public var isReal: Bool { adjustedPValue < 0.05 }
  }

  /// In the order in which they first ran.
  public let strategies: [String]
  public let budgets: [String]
  public let groups: [String]
  public let problems: Int
  public let cells: [Cell]
  public let comparisons: [Comparison]

  /// Analyses records; none of them twice.
  public init(_ records: [RunRecord]) {
    strategies = records.map(\.strategy).uniqued()
    budgets = records.map(\.budget).uniqued()
    groups = Set(records.map(\.group)).sorted()
    problems = Set(records.map(\.problem)).count
    var byCell: [String: [String: [RunRecord]]] = [:]
    for record in records {
      byCell[record.budget, default: [:]][record.strategy, default: []].append(record)
    }

    var cells: [Cell] = []
    var tests: [(budget: String, first: String, second: String, test: PairedTest)] = []
    for budget in budgets {
      let present = strategies.filter { byCell[budget]?[$0] != nil }
      for (index, strategy) in present.enumerated() {
        let own = byCell[budget]![strategy]!
        cells.append(Cell(own))
        for other in present[(index + 1)...] {
          tests.append(
            (budget, strategy, other, PairedTest(own, byCell[budget]![other]!)))
        }
      }
    }
    self.cells = cells
    let values = tests.map(\.test.pValue)
    // Many pairs of many problems make do with fewer resamples, so that a report takes seconds.
    let resamples = min(4000, max(400, 500_000_000 / max(1, tests.count * problems)))
    comparisons = zip(tests, zip(values, holmAdjusted(values))).map { entry, values in
      Comparison(
        budget: entry.budget, first: entry.first, second: entry.second,
        problems: entry.test.pairs.count,
        firstAhead: entry.test.pairs.count { $0.first > $0.second },
        secondAhead: entry.test.pairs.count { $0.first < $0.second },
        difference: entry.test.interval(resamples: resamples), pValue: values.0,
        adjustedPValue: values.1)
    }
  }

  /// A cell; nil where the strategy was not run under the budget.
  public func cell(_ strategy: String, _ budget: String) -> Cell? {
    cells.first { $0.strategy == strategy && $0.budget == budget }
  }

  /// The comparison of two strategies, turned so that `first` comes first.
  public func comparison(_ budget: String, _ first: String, _ second: String) -> Comparison? {
    for entry in comparisons where entry.budget == budget {
      if (entry.first, entry.second) == (first, second) { return entry }
      if (entry.first, entry.second) == (second, first) { return entry.turned }
    }
    return nil
  }
}

extension EvalAnalysis.Comparison {
  fileprivate var turned: Self {
    Self(
      budget: budget, first: second, second: first, problems: problems, firstAhead: secondAhead,
      secondAhead: firstAhead,
      difference: Estimate(
        mean: -difference.mean, low: -difference.high, high: -difference.low),
      pValue: pValue, adjustedPValue: adjustedPValue)
  }
}

extension EvalAnalysis.Cell {
  /// - Parameter records: of one strategy and budget, at least one.
  fileprivate init(_ records: [RunRecord]) {
    strategy = records[0].strategy
    budget = records[0].budget
    let problems = Dictionary(grouping: records, by: \.problem).sorted { $0.key < $1.key }
      .map(\.value)
    self.problems = problems.count
    runs = records.count
    failed = records.count { $0.failure != nil }
    abstained = records.count { $0.stoppedBecause == "abstained" }
    cutShort = records.count { $0.stoppedBecause.hasPrefix("budget_") }

    func right(_ problems: [[RunRecord]]) -> Estimate {
      .share(ofGroups: problems.map { $0.map { $0.correct ? 1 : 0 } })
    }
    func mean(_ value: (RunRecord) -> Double) -> Estimate {
      .mean(ofGroups: problems.map { $0.map(value) })
    }
    self.right = right(problems)
    generatedTokens = mean { Double($0.usage.generatedTokens) }
    totalTokens = mean { Double($0.usage.totalTokens) }
    cpuSeconds = mean(\.timing.cpuSeconds)
    seconds = mean(\.timing.seconds)
    peakKVBytes = mean { Double($0.usage.peakKVBytes) }
    groups = Dictionary(grouping: problems) { $0[0].group }.mapValues(right)
    coverage = Coverage(
      problems.map { $0.map { ($0.candidates.count, $0.candidates.count { $0.correct }) } })
    calibration = Calibration(records: records)
    verifier = VerifierQuality(records: records)
    anytime = Anytime(problems.map { $0.map(\.anytime) })
  }
}

extension PairedTest {
  /// The runs that both have, by problem.
  init(_ first: [RunRecord], _ second: [RunRecord]) {
    let others = Dictionary(
      second.map { ($0.place, $0.correct) }, uniquingKeysWith: { $1 })
    var tallies: [String: (first: Int, second: Int, runs: Int)] = [:]
    for record in first {
      guard let other = others[record.place] else { continue }
      var tally = tallies[record.problem] ?? (0, 0, 0)
      tally.first += record.correct ? 1 : 0
      tally.second += other ? 1 : 0
      tally.runs += 1
      tallies[record.problem] = tally
    }
    pairs = tallies.sorted { $0.key < $1.key }.map {
      Pair(first: $0.value.first, second: $0.value.second, runs: $0.value.runs)
    }
  }
}

extension [String] {
  fileprivate func uniqued() -> [String] {
    var seen: Set<String> = []
    return filter { seen.insert($0).inserted }
  }
}
