/// How well the scorer of a strategy tells right candidates from wrong ones.
///
/// A candidate counts as accepted from a score of 0.5 on. Sampling until the scorer accepts cannot do
/// better, however long, than the share right among what it accepts: the cap. Source: "Inference
/// Scaling fLaws: The Limits of LLM Resampling with Imperfect Verifiers" (Stroebl et al., 2024).
public struct VerifierQuality: Sendable, Equatable, Encodable {
  public let scorer: String
  /// Wrong candidates that it accepts.
  public let falsePositives: Estimate
  /// Right candidates that it rejects.
  public let falseNegatives: Estimate
  /// The share of right answers among accepted ones, problem by problem: nil where it accepts none.
  public let cap: Estimate?
  /// The share of problems with no accepted candidate.
  public let unanswered: Double

  /// The scorer's quality in runs; nil where none judged, or its scores are not from 0 to 1.
  package init?(records: [RunRecord]) {
    guard let scorer = records.compactMap(\.scorer).first else { return nil }
    let judged = records.filter { $0.scorer == scorer && !$0.candidates.isEmpty }
    let candidates = judged.flatMap(\.candidates)
    guard !candidates.isEmpty,
      candidates.allSatisfy({ $0.score.map { (0...1).contains($0) } ?? false })
    else { return nil }
    self.scorer = scorer

    let problems = Dictionary(grouping: judged, by: \.problem).sorted { $0.key < $1.key }
      .map { $0.value.flatMap(\.candidates) }
    func accepted(_ candidate: RunRecord.Candidate) -> Bool { candidate.score! >= 0.5 }
    func shares(
      of chosen: (RunRecord.Candidate) -> Bool, that hold: (RunRecord.Candidate) -> Bool
    ) -> [[Double]] {
      problems.map { $0.filter(chosen).map { hold($0) ? 1 : 0 } }.filter { !$0.isEmpty }
    }
    falsePositives = .share(ofGroups: shares(of: { !$0.correct }, that: accepted))
    falseNegatives = .share(ofGroups: shares(of: \.correct, that: { !accepted($0) }))
    // A problem counts once, however many candidates of it were accepted.
    let precision = shares(of: accepted, that: \.correct).map {
      [$0.reduce(0, +) / Double($0.count)]
    }
    cap = precision.isEmpty ? nil : .share(ofGroups: precision)
    unanswered = 1 - Double(precision.count) / Double(problems.count)
  }
}
