import Foundation
public import MartletScaling

/// Searches for the best pipeline, and measures it on problems that the search did not see.
///
/// Every run is appended to `search/records.jsonl` or `held-out/records.jsonl` in the folder as it ends, and every
/// decision follows from them: the same search goes on where it was interrupted. Held-out problems are run when one
/// pipeline is chosen, and not before.
public struct PipelineSearch: Sendable {
  /// What is told while it goes on.
  public enum Step: Sendable {
    case round(Int, of: Int, pipelines: Int, problems: Int)
    case heldOut(problems: Int)
    case run(EvalRunner.Progress)
  }

  private let session: ScalingSession
  private let plan: SearchPlan
  private let folder: String
  private let jobs: Int

  /// - Parameters:
  ///   - folder: made where it is not there.
  ///   - jobs: runs in progress at once; nothing depends on it but time.
  public init(session: ScalingSession, plan: SearchPlan, folder: String, jobs: Int) {
    (self.session, self.plan, self.folder, self.jobs) = (session, plan, folder, jobs)
  }

  /// Searches to the end; nil where the task was cancelled.
  /// - Throws: `LabError` for a space, baselines or a folder that cannot be used, before the first run, and what
  ///   ``EvalRunner/run(onProgress:)`` throws.
  public func run(onStep: @escaping (Step) -> Void = { _ in }) async throws -> SearchOutcome? {
    try await plan.space.validate(in: session)
    try plan.evaluation(plan.heldOut, plan.baselines + plan.trials.map { StrategySpec($0) })
      .validate(in: session)
    try plan.settings(model: session.model).claim(folder: folder)

    let race = PipelineRace(pipelines: plan.trials.count, problems: plan.problems.problems.count)
    var racing = plan.trials.map { StrategySpec($0) }
    var standings: [PipelineRace.Standing] = []
    for (round, count) in race.rounds.enumerated() {
      onStep(.round(round + 1, of: race.rounds.count, pipelines: racing.count, problems: count))
      let suite = Suite(
        name: plan.problems.name, problems: Array(plan.problems.problems.prefix(count)))
      let evaluation = plan.evaluation(suite, racing)
      guard let records = try await records(of: evaluation, in: "search", onStep) else {
        return nil
      }
      let (onward, out) = race.decide(
        racing.map { ($0, records[$0.label] ?? []) }, round: round)
      racing = onward
      standings = out + standings
      // One that is really better than all others needs no further round of the search.
      if onward.count == 1, round + 1 < race.rounds.count {
        let (_, last) = race.decide(
          [(onward[0], records[onward[0].label] ?? [])], round: race.rounds.count - 1,
          ranAfter: round)
        standings = last + standings
        break
      }
    }
    guard let best = standings.first else { return nil }

    onStep(.heldOut(problems: plan.heldOut.problems.count))
    let baselines = plan.baselines.filter { $0.label != best.strategy.label }
    let evaluation = plan.evaluation(plan.heldOut, [best.strategy] + baselines)
    guard try await records(of: evaluation, in: "held-out", onStep) != nil else { return nil }
    let report = try Report(folder: "\(folder)/held-out")
    try report.write(to: "\(folder)/held-out")
    let outcome = SearchOutcome(
      standings: standings, budget: plan.budget.label, records: report.records,
      baselines: baselines.map(\.label), tried: plan.trials.count,
      inSpace: plan.space.pipelines.count)
    try outcome.write(to: folder)
    return outcome
  }

  /// Makes the runs of an evaluation that are missing; its records by strategy, or nil where the task was cancelled.
  private func records(
    of evaluation: EvalPlan, in part: String, _ onStep: @escaping (Step) -> Void
  ) async throws -> [String: [RunRecord]]? {
    let place = "\(folder)/\(part)"
    try EvalSettings(evaluation, model: session.model).claim(folder: place)
    do {
      let file = try RecordFile(path: "\(place)/records.jsonl")
      try await EvalRunner(session: session, plan: evaluation, file: file, jobs: jobs)
        .run { onStep(.run($0)) }
    }
    if Task.isCancelled { return nil }
    let asked = Set(evaluation.suite.problems.map(\.id))
    let records = try RecordFile.read("\(place)/records.jsonl").records
    return Dictionary(grouping: records.filter { asked.contains($0.problem) }, by: \.strategy)
  }
}
