/// Whether a strategy knows when it is right.
public struct Calibration: Sendable, Equatable, Encodable {
  /// What confidence is taken from.
  public enum Source: String, Sendable, Encodable {
    /// The winning candidate's score, where all scores lie from 0 to 1.
    case score
    /// The share of candidates that gave the winning answer.
    case votes
  }

  /// Runs of like confidence.
  public struct Bin: Sendable, Equatable, Encodable {
    public let confidence: Double
    public let runs: Int
    public let right: Estimate
  }

  /// What is right among answers of at least some confidence.
  public struct Point: Sendable, Equatable, Encodable {
    public let confidence: Double
    /// The share of runs that are answered.
    public let answered: Double
    public let right: Estimate
  }

  public let source: Source
  /// Ten bins of equal width, those without runs left out.
  public let bins: [Bin]
  /// The mean distance of confidence and share right, by runs (expected calibration error).
  public let error: Double
  /// From answering only the surest runs to answering all.
  public let abstention: [Point]

  /// - Parameter outcomes: at least one.
  package init(_ outcomes: [(confidence: Double, isRight: Bool)], source: Source) {
    self.source = source
    let binned = Dictionary(grouping: outcomes) { min(9, Int($0.confidence * 10)) }
    bins = binned.sorted { $0.key < $1.key }.map { _, members in
      Bin(
        confidence: members.reduce(0) { $0 + $1.confidence } / Double(members.count),
        runs: members.count, right: Self.share(members))
    }
    error = bins.reduce(0) {
      $0 + abs($1.confidence - $1.right.mean) * Double($1.runs) / Double(outcomes.count)
    }
    let sorted = outcomes.sorted { $0.confidence > $1.confidence }
    abstention = sorted.indices.compactMap { index in
      // Equal confidence is answered together.
      let isLast = index + 1 == sorted.count
      guard isLast || sorted[index + 1].confidence < sorted[index].confidence else { return nil }
      return Point(
        confidence: sorted[index].confidence,
        answered: Double(index + 1) / Double(sorted.count),
        right: Self.share(sorted[...index]))
    }
  }

  private static func share(
    _ outcomes: some Collection<(confidence: Double, isRight: Bool)>
  ) -> Estimate {
    let count = Double(outcomes.count)
    return .share(Double(outcomes.count { $0.isRight }) / count, of: count)
  }

  /// The calibration of runs; nil where no run says how sure it is.
  init?(records: [RunRecord]) {
    let answered = records.filter { $0.answerCandidate != nil }
    let scores = answered.map(\.score)
    let areShares = answered.allSatisfy { record in
      record.candidates.allSatisfy { $0.score.map { (0...1).contains($0) } ?? true }
    }
    if areShares, scores.allSatisfy({ $0 != nil }), Set(scores.map { $0! }).count > 1 {
      self.init(answered.map { ($0.score!, $0.correct) }, source: .score)
      return
    }
    let voted = answered.filter { $0.candidates.count > 1 }
    guard !voted.isEmpty, voted.count == answered.count else { return nil }
    let outcomes = voted.map { record in
      let votes = record.candidates.count { $0.answer == record.answer }
      return (
        confidence: Double(votes) / Double(record.candidates.count), isRight: record.correct
      )
    }
    guard Set(outcomes.map(\.confidence)).count > 1 else { return nil }
    self.init(outcomes, source: .votes)
  }
}
