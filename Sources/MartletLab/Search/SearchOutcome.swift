import Foundation
import MartletScaling

/// What a search found.
public struct SearchOutcome: Sendable {
  /// The chosen pipeline against one baseline, on held-out problems.
  public struct Comparison: Sendable, Encodable {
    public let baseline: String
    public let right: Estimate
    /// Tokens of all kinds per problem.
    public let tokens: Double
    /// The pipeline's share right less the baseline's.
    public let difference: Estimate
    /// The exact paired test, after Holm's correction over the baselines.
    public let adjustedPValue: Double

    /// Whether the pipeline is better by more than chance.
    public var isBetter: Bool { adjustedPValue < 0.05 && difference.mean > 0 }
    /// Whether it is worse by more than chance.
    public var isWorse: Bool { adjustedPValue < 0.05 && difference.mean < 0 }
  }

  /// Every pipeline that was tried, the best first, then by how long it stayed in the race.
  public let standings: [PipelineRace.Standing]
  /// The best.
  public let best: Pipeline
  public let budget: String
  public let heldOutProblems: Int
  /// The best on held-out problems.
  public let right: Estimate
  public let tokens: Double
  /// The baselines on the same problems, the one with most right first.
  public let comparisons: [Comparison]
  private let tried: Int
  private let inSpace: Int

  init(
    standings: [PipelineRace.Standing], budget: String, records: [RunRecord], baselines: [String],
    tried: Int, inSpace: Int
  ) {
    (self.standings, self.budget, self.tried, self.inSpace) = (standings, budget, tried, inSpace)
    let label = standings[0].strategy.label
    // It was made from a pipeline, so it is one.
    best =
      (try? Pipeline(json: standings[0].strategy.options["pipeline"] ?? "")) ?? Pipeline([])
    let byStrategy = Dictionary(grouping: records, by: \.strategy)
    func figures(_ runs: [RunRecord]) -> (right: Estimate, tokens: Double) {
      let count = Double(runs.count)
      let tokens = runs.reduce(0.0) { $0 + Double($1.usage.totalTokens) }
      return (
        .share(Double(runs.count { $0.correct }) / max(1, count), of: count), tokens / max(1, count)
      )
    }
    let own = byStrategy[label] ?? []
    heldOutProblems = own.count
    (right, tokens) = figures(own)
    let tests = baselines.map { PairedTest(own, byStrategy[$0] ?? []) }
    comparisons = zip(zip(baselines, tests), holmAdjusted(tests.map(\.pValue))).map {
      entry, chance in
      let (baseline, test) = entry
      let (right, tokens) = figures(byStrategy[baseline] ?? [])
      return Comparison(
        baseline: baseline, right: right, tokens: tokens, difference: test.interval(),
        adjustedPValue: chance)
    }.sorted { ($1.right.mean, $0.tokens) < ($0.right.mean, $1.tokens) }
  }

  /// What was found, in sentences.
  public var sentences: [String] {
    let place = budget == "none" ? "without a budget" : "within \(budget)"
    var text = [
      "Of \(tried) pipelines (\(inSpace) in the space) \(best) was best: \(Format.share(right)) of "
        + "\(heldOutProblems) held-out problems right \(place), with \(Format.count(tokens)) tokens a problem."
    ]
    guard let next = comparisons.first else { return text }
    func written(_ entry: Comparison) -> String {
      "\(Format.points(entry.difference.mean)) points, 95 % interval "
        + "\(Format.points(entry.difference.low)) to \(Format.points(entry.difference.high)), corrected "
        + Format.probability(entry.adjustedPValue)
    }
    let equals = comparisons.filter { !$0.isBetter && !$0.isWorse }
    if let better = comparisons.first(where: \.isWorse) {
      text.append(
        "\(better.baseline) is really better (\(written(better)) for the pipeline): use that.")
    } else if equals.isEmpty {
      text.append(
        "That is really better than every baseline; the next is \(next.baseline) with "
          + "\(Format.percent(next.right.mean)) % (\(written(next))).")
    } else {
      let names = equals.prefix(4).map { "\($0.baseline) (\(written($0)))" }
      let more = equals.count > 4 ? " and \(equals.count - 4) more" : ""
      let cheapest = equals.min { $0.tokens < $1.tokens }!
      text.append(
        "No pipeline is really better than the baselines: these problems do not tell the best apart from "
          + "\(names.joined(separator: ", "))\(more). The cheapest of these is \(cheapest.baseline), "
          + "\(Format.count(cheapest.tokens)) tokens a problem.")
    }
    return text
  }

  /// Writes `best.json`, which `--strategy pipeline:FILE` takes, and `result.json`, into a folder.
  func write(to folder: String) throws {
    try OutputFile.save(Data((best.json + "\n").utf8), to: "\(folder)/best.json")
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.writeAllFloats()
    let result = Result(
      schema: 1, best: best.description, budget: budget, heldOutProblems: heldOutProblems,
      right: right, totalTokens: tokens, comparisons: comparisons,
      pipelines: standings.map(Row.init))
    try OutputFile.save(encoder.encode(result) + Data("\n".utf8), to: "\(folder)/result.json")
  }

  private struct Result: Encodable {
    let schema: Int
    let best, budget: String
    let heldOutProblems: Int
    let right: Estimate
    let totalTokens: Double
    let comparisons: [Comparison]
    let pipelines: [Row]
  }

  private struct Row: Encodable {
    let pipeline: String
    let rounds, problems: Int
    let right: Estimate
    let totalTokens: Double
    let ending: PipelineRace.Ending
    let behind: Estimate?
    let failure: String?

    init(_ standing: PipelineRace.Standing) {
      pipeline = standing.strategy.label
      (rounds, problems) = (standing.rounds, standing.problems)
      (right, totalTokens) = (standing.right, standing.tokens)
      (ending, behind, failure) = (standing.ending, standing.behind, standing.failure)
    }
  }
}
