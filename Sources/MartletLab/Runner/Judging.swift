import Dispatch
import MartletScaling

/// Judges the answer of a run, its candidates and what it named on the way.
struct Judging: Sendable {
  typealias Named = (candidate: RunResult.Candidate, committed: Bool, tokens: Int)

  let check: any AnswerCheck

  /// The record with its verdicts.
  ///
  /// Not on the threads of Swift's tasks: a user's checker may take its time.
  func judged(
    _ record: RunRecord, _ result: RunResult, _ named: [Named]
  ) async throws -> RunRecord {
    try await withCheckedThrowingContinuation { continuation in
      DispatchQueue.global().async {
        continuation.resume(
          with: Result { try verdicts(on: record, result, named) })
      }
    }
  }

  private func verdicts(
    on record: RunRecord, _ result: RunResult, _ named: [Named]
  ) throws -> RunRecord {
    var known: [[String]: Bool] = [:]
    func isRight(_ answer: String, _ text: String) throws(LabError) -> Bool {
      if let verdict = known[[answer, text]] { return verdict }
      let verdict = try check.isRight(answer: answer, text: text)
      known[[answer, text]] = verdict
      return verdict
    }
    func isRight(_ candidate: RunResult.Candidate) throws(LabError) -> Bool {
      try isRight(candidate.answer ?? candidate.text, candidate.text)
    }
    var record = record
    // Without a candidate nothing was answered, whatever the checker says of an empty text.
    record.correct =
      try result.answerCandidate != nil && isRight(result.answer, result.text)
    for candidate in result.candidates {
      record.candidates.append(
        RunRecord.Candidate(
          text: candidate.text, answer: candidate.answer, score: candidate.score,
          logprob: candidate.logprob, tokens: candidate.tokens, finished: candidate.finished,
          stop: candidate.stop.description, correct: try isRight(candidate)))
    }
    for answer in named {
      record.anytime.append(
        RunRecord.NamedAnswer(
          tokens: answer.tokens, answer: answer.candidate.answer ?? answer.candidate.text,
          correct: try isRight(answer.candidate), committed: answer.committed))
    }
    let last = record.anytime.last
    if result.answerCandidate != nil,
      last?.answer != record.answer || last?.correct != record.correct
    {
      record.anytime.append(
        RunRecord.NamedAnswer(
          tokens: record.usage.generatedTokens, answer: record.answer, correct: record.correct,
          committed: true))
    }
    return record
  }
}
