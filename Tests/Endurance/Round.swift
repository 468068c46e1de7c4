@preconcurrency import Dispatch
import Foundation
import Martlet
import Synchronization

/// A few runs side by side on one stage, and what must hold when they are over. One seed decides all of it.
struct Round: Sendable {
  let seed: UInt64
  let stage: Stage
  let plans: [RunPlan]

  init(seed: UInt64, stages: [Stage]) throws {
    self.seed = seed
    var random = SeededRandom(seed: seed)
    let stage = random.pick(stages)
    self.stage = stage
    let count = random.chance(0.55) ? 1 : random.whole(2...4)
    plans = try (0..<count).map { _ in try RunPlan(stage, &random) }
  }

  /// How runs ended, by word, and what went wrong.
  struct Report: Sendable {
    var endings: [String: Int] = [:]
    var problems: [String] = []
    var tokens = 0
  }

  func run() async -> Report {
    let plans = plans
    var report = Report()
    let stage = stage
    let ends = await withTaskGroup(of: (Int, RunChecks).self) { group in
      for (index, plan) in plans.enumerated() {
        group.addTask { (index, await Self.carryOut(plan, on: stage)) }
      }
      var ends = [RunChecks?](repeating: nil, count: plans.count)
      for await (index, end) in group { ends[index] = end }
      return ends.compactMap(\.self)
    }
    for (index, end) in ends.enumerated() {
      let plan = plans[index]
      for problem in end.problems() { report.problems.append("\(problem)\n    \(plan.summary)") }
      switch end.outcome {
      case .success(let result):
        report.endings[result.stoppedBecause.rawValue, default: 0] += 1
        report.tokens += result.usage.generatedTokens
      case .failure(let error):
        let code = error.engineCode.map { "engine, \($0.rawValue)" } ?? error.code.rawValue
        report.endings["error: \(code)", default: 0] += 1
      }
    }
    // Who is given up may be inside a call that began before, and prompts may be on their way to files.
    if plans.contains(where: { $0.fate == .goesOn }) || stage.keptPages > 0 {
      for _ in 0..<2000 where stage.problem != nil { try? await Task.sleep(for: .milliseconds(2)) }
    }
    if let problem = stage.problem { report.problems.append(problem) }
    if report.problems.isEmpty { report.problems += await repeated(ends) }
    return report
  }

  /// Runs one that had company again, alone, with plugins in this process: it must give the same.
  private func repeated(_ ends: [RunChecks]) async -> [String] {
    guard stage.isReproducible, seed % 4 == 0,
      let index = plans.indices.first(where: { plans[$0].isReproducible }),
      case .success(let first) = ends[index].outcome
    else { return [] }
    var plan = plans[index]
    (plan.session, plan.isIsolated) = (stage.open, false)
    let again = await Self.carryOut(plan, on: stage).outcome
    guard case .success(let second) = again else {
      return ["alone it failed: \(again)\n    \(plan.summary)"]
    }
    var (a, b) = (first.withoutTiming, second.withoutTiming)
    // Pages held at once are those of the moment where branches are drawn ahead of the clock.
    (a.usage.peakKVBytes, b.usage.peakKVBytes) = (0, 0)
    guard a != b else { return [] }
    return ["alone it gave another result:\n\(a)\n\(b)\n    \(plans[index].summary)"]
  }

  private static func carryOut(_ plan: RunPlan, on stage: Stage) async -> RunChecks {
    let codec = stage.engine.tokenizer
    let recorder = plan.isTraced ? TraceRecorder { codec.text(of: [$0]) } : nil
    let before = stage.engine.statistics.sampledTokens
    let listener = Listener(plan.cancellation)
    let pulse = Pulse()
    let work = Task { await attempt(plan, recorder, listener) }
    listener.follow(work)
    switch plan.cancellation {
    case .never, .heard: break
    case .after(let microseconds):
      if microseconds > 0 { try? await Task.sleep(for: .microseconds(microseconds)) }
      listener.cancel()
    case .tokens(let count):
      let engine = stage.engine
      Task.detached {
        while !listener.isOver {
          if engine.statistics.sampledTokens - before >= count { listener.cancel() }
          try? await Task.sleep(for: .microseconds(30))
        }
      }
    }
    let outcome = await work.value
    pulse.stop()
    listener.end()
    var trace: Data?
    if let recorder { trace = try? recorder.json(result: try? outcome.get()) }
    return RunChecks(
      plan: plan, stage: stage, outcome: outcome, trace: trace,
      wasHeldUp: pulse.longestGap() > 0.5 * (Stage.grace / .seconds(1)),
      wasCancelled: listener.wasCancelled)
  }
}

/// Carries out a run and lets the listener hear of its answers.
private func attempt(
  _ plan: RunPlan, _ recorder: TraceRecorder?, _ listener: Listener
) async -> Result<RunResult, ScalingError> {
  var onText: (@Sendable (String) -> Void)?
  var onAnswer: (@Sendable (RunResult.Candidate, Bool, Int) -> Void)?
  if plan.isStreamed {
    onText = { _ in listener.hear() }
    onAnswer = { _, _, _ in listener.hear() }
  }
  do {
    return .success(
      try await plan.session.run(plan.request, trace: recorder, onText: onText, onAnswer: onAnswer))
  } catch {
    return .failure(error)
  }
}

/// Cancels a run when its time has come.
private final class Listener: Sendable {
  private struct State {
    var left: Int?
    var work: Task<Result<RunResult, ScalingError>, Never>?
    var wasCancelled = false
    var isOver = false
  }
  private let state: Mutex<State>

  init(_ cancellation: RunPlan.Cancellation) {
    var left: Int?
    if case .heard(let count) = cancellation { left = count }
    state = Mutex(State(left: left))
  }

  func follow(_ work: Task<Result<RunResult, ScalingError>, Never>) {
    let isLate = state.withLock { state in
      state.work = work
      return state.wasCancelled
    }
    if isLate { work.cancel() }
  }

  func hear() {
    let isTime = state.withLock { state in
      state.left = state.left.map { $0 - 1 }
      return state.left == 0
    }
    if isTime { cancel() }
  }

  func cancel() {
    let work = state.withLock { state in
      if !state.isOver { state.wasCancelled = true }
      return state.work
    }
    work?.cancel()
  }

  func end() { state.withLock { ($0.isOver, $0.work) = (true, nil) } }
  var isOver: Bool { state.withLock { $0.isOver } }
  var wasCancelled: Bool { state.withLock { $0.wasCancelled } }
}

/// Notes how long this process was held up at once: by a debugger, or a machine with too much to do.
private final class Pulse: Sendable {
  private let state = Mutex((last: ContinuousClock.now, gap: Duration.zero))
  private let timer: any DispatchSourceTimer

  init() {
    timer = DispatchSource.makeTimerSource(queue: .global())
    timer.schedule(deadline: .now(), repeating: 0.02)
    timer.setEventHandler { [weak self] in self?.beat() }
    timer.resume()
  }

  private func beat() {
    state.withLock { state in
      state.gap = max(state.gap, state.last.duration(to: .now))
      state.last = .now
    }
  }

  func stop() {
    beat()
    timer.cancel()
  }

  /// Seconds.
  func longestGap() -> Double { state.withLock { $0.gap } / .seconds(1) }
}
