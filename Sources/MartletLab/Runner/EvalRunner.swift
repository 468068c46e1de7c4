import Foundation
public import MartletScaling
import Synchronization

/// Makes the runs of a plan that a folder does not have yet.
public struct EvalRunner: Sendable {
  /// How far an evaluation is.
  public struct Progress: Sendable {
    /// Runs that are recorded, those of earlier evaluations included.
    public let done: Int
    /// All runs of the plan.
    public let total: Int
    /// Those that this evaluation made.
    public let made: Int
    /// The run that was recorded last.
    public let last: RunRecord
  }

  private let session: ScalingSession
  private let plan: EvalPlan
  private let file: RecordFile
  private let width: Int
  private let cpu = CPUShare()

  /// A runner.
  /// - Parameter jobs: runs in progress at once; texts do not depend on it.
  /// - Throws: what ``EvalPlan/validate(in:)`` throws, and `data` when the records are of other
  ///   problems.
  public init(session: ScalingSession, plan: EvalPlan, file: RecordFile, jobs: Int) throws {
    try plan.validate(in: session)
    let questions = Dictionary(
      uniqueKeysWithValues: plan.suite.problems.map { ($0.id, $0.question) })
    for record in file.records {
      if let question = questions[record.problem], question != record.question {
        throw LabError(
          .data,
          "\(file.path): problem '\(record.problem)' asks something else there; the suite has "
            + "changed, so name another folder with --out")
      }
    }
    (self.session, self.plan, self.file) = (session, plan, file)
    width = max(1, jobs)
  }

  /// Makes the runs that are missing. A task that is cancelled ends the runs in progress, which are
  /// not recorded.
  /// - Returns: the number of runs made.
  /// - Throws: `LabError` for a checker that cannot be run or a file that cannot be written, and
  ///   `ScalingError` for memory that is refused. What a strategy fails with is recorded instead.
  @discardableResult
  public func run(onProgress: (Progress) -> Void = { _ in }) async throws -> Int {
    let known = Set(file.records.map(\.key))
    let all = plan.jobs
    let missing = all.filter { !known.contains($0.key) }
    var made = 0
    func tell(_ record: RunRecord?) {
      guard let record else { return }
      made += 1
      onProgress(
        Progress(
          done: all.count - missing.count + made, total: all.count, made: made, last: record))
    }
    try await withThrowingTaskGroup(of: RunRecord?.self) { group in
      for (index, job) in missing.enumerated() {
        if index >= width { tell(try await group.next() ?? nil) }
        if Task.isCancelled { break }
        group.addTask { try await record(job) }
      }
      while let record = try await group.next() { tell(record) }
    }
    return made
  }

  /// Makes a run and writes it down; nil when it was cancelled.
  private func record(_ job: EvalPlan.Job) async throws -> RunRecord? {
    guard let record = try await answer(job) else { return nil }
    try file.append(record)
    return record
  }

  /// The record of a run; nil when it was cancelled.
  private func answer(_ job: EvalPlan.Job) async throws -> RunRecord? {
    let request = try plan.request(job, in: session)
    var record = RunRecord(
      problem: job.problem.id, group: job.problem.group, question: job.problem.question,
      expected: job.problem.expected, strategy: job.strategy.label,
      options: job.strategy.options, budget: job.budget.label, seed: job.seed,
      runSeed: "\(request.seed)", stoppedBecause: RunRecord.failed)
    let named = Mutex<[(candidate: RunResult.Candidate, committed: Bool, tokens: Int)]>([])
    let share = cpu.begin()
    let start = ContinuousClock.now
    let outcome: Result<RunResult, ScalingError>
    do throws(ScalingError) {
      outcome = .success(
        try await session.run(
          request,
          onAnswer: { candidate, committed, tokens in
            named.withLock { $0.append((candidate, committed, tokens)) }
          }))
    } catch {
      outcome = .failure(error)
    }
    record.timing.cpuSeconds = cpu.end(share)
    record.timing.seconds = start.duration(to: .now) / .seconds(1)
    switch outcome {
    case .failure(let error):
      if error.code == .cancelled { return nil }
      // Not the strategy's doing: made again, the run may well end otherwise.
      if error.engineCode == .memory { throw error }
      record.failure = error.message
    case .success(let result):
      if result.stoppedBecause == .cancelled { return nil }
      record.take(result)
      record = try await Judging(check: job.problem.check)
        .judged(record, result, named.withLock { $0 })
    }
    return record
  }
}

extension RunRecord {
  fileprivate mutating func take(_ result: RunResult) {
    answer = result.answer
    text = result.text
    answerCandidate = result.answerCandidate
    score = result.answerCandidate.flatMap { result.candidates[$0].score }
    scorer = result.scorer
    extractor = result.extractor
    stoppedBecause = result.stoppedBecause.rawValue
    failure = result.failure
    usage = Usage(
      promptTokens: result.usage.promptTokens, generatedTokens: result.usage.generatedTokens,
      scoredTokens: result.usage.scoredTokens, totalTokens: result.usage.totalTokens,
      peakKVBytes: result.usage.peakKVBytes)
  }
}
