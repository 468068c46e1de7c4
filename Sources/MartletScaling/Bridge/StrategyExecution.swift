import CMartlet
import Foundation
import MartletEngine
import Synchronization

/// Runs a plugin's strategy on a thread of its own and turns what it leaves into an ending.
///
/// A strategy that does not return within the grace period after its run ended is given up: its
/// handles become invalid, its branches return, and its thread is left to itself.
struct StrategyExecution: Sendable {
  /// Enough for plugins that recurse, as a search over a tree does.
  private static let stackBytes = 8 << 20

  let component: LoadedComponent
  let scope: ComponentScope
  let run: PluginRun
  let outcome: OneShot<Outcome>

  /// How the plugin's functions ended.
  enum Outcome: Sendable {
    case returned(status: Int32, failure: String)
    case hung
  }

  /// Runs the strategy to its end.
  /// - Throws: `plugin` when it failed, `engine` when the engine did, or `cancelled`, and nothing was
  ///   generated.
  func ending() async throws(ScalingError) -> RunEnding {
    let run = run
    let wasCancelled = Flag()
    let deadline = Deadline(run.ledger) {
      run.engineRun.cancel()
      run.noteEnd()
    }
    defer { deadline.stop() }
    startThread()
    let end = await withTaskCancellationHandler {
      await outcome.value()
    } onCancel: {
      wasCancelled.set()
      run.engineRun.cancel()
      run.noteEnd()
    }
    defer { run.close() }
    switch end {
    case .hung:
      run.engineRun.cancel()
      run.abandonment.set()
      return RunEnding(
        candidates: run.candidates, answer: run.answer ?? Self.best(of: run.candidates),
        cause: .pluginHung,
        failure: "strategy '\(scope.id)' did not return in time after its run had ended")
    case .returned(let status, let failure):
      return try ending(
        status: martlet_status(rawValue: status), failure: failure,
        wasCancelled: wasCancelled.isSet)
    }
  }

  private func ending(
    status: martlet_status, failure: String, wasCancelled: Bool
  ) throws(ScalingError) -> RunEnding {
    let endedRun = status == MARTLET_E_BUDGET || status == MARTLET_E_CANCELLED
    // A replay that went on where nothing was recorded ends like one whose budget is spent.
    let unrecorded =
      run.engineRun.unrecorded
      ?? run.engineFailure.flatMap { $0.code == .unrecorded ? $0.message : nil }
    let budget =
      unrecorded.map { _ in .notRecorded } ?? RunEnding.cause(ofBudget: run.ledger.ended)
      ?? (run.reachedKVCeiling ? .budgetKVBytes : nil)
    let hasFailed =
      status != MARTLET_OK && unrecorded == nil
      && !(endedRun && (wasCancelled || budget != nil))

    var answer = run.answer
    if run.hasAbstained, !hasFailed, !wasCancelled {
      return RunEnding(candidates: run.candidates, answer: nil, cause: .abstained)
    }
    if answer == nil, hasFailed || wasCancelled || budget != nil {
      // A failure alone is worth hearing about more than a text that nobody chose.
      if run.candidates.isEmpty, !hasFailed { addFurthestBranch() }
      answer = Self.best(of: run.candidates)
    }
    let candidates = run.candidates
    if hasFailed {
      guard answer != nil else {
        // A strategy that passes on what the engine did to it has not failed itself.
        throw run.engineFailure.map(ScalingError.init) ?? ScalingError(.plugin, failure)
      }
      return RunEnding(
        candidates: candidates, answer: answer, cause: .pluginFailed, failure: failure)
    }
    if wasCancelled {
      guard answer != nil else {
        throw ScalingError(.cancelled, "the run was cancelled before it had an answer")
      }
      return RunEnding(candidates: candidates, answer: answer, cause: .cancelled)
    }
    if let budget {
      return RunEnding(
        candidates: candidates, answer: answer, cause: budget, failure: unrecorded)
    }
    guard let answer else {
      throw ScalingError(.plugin, "strategy '\(scope.id)' ended without naming an answer")
    }
    return RunEnding(
      candidates: candidates, answer: answer, cause: RunEnding.cause(ofAnswer: candidates[answer]))
  }

  // MARK: The best so far

  /// Records the branch that got furthest, for a strategy that ended before it recorded any.
  private func addFurthestBranch() {
    func isBetter(_ a: Branch, _ b: Branch) -> Bool {
      let complete = { (branch: Branch) in
        branch.stop == .endOfSequence || branch.stop == .stopString
      }
      if complete(a) != complete(b) { return complete(a) }
      return a.generatedTokens > b.generatedTokens
    }
    let branches = run.openBranches.filter { $0.generatedTokens > 0 }
    guard var furthest = branches.first else { return }
    for branch in branches.dropFirst() where isBetter(branch, furthest) { furthest = branch }
    // Without an answer from the extractor the text still counts; addCandidate cannot fail else.
    _ = try? run.addCandidate(furthest)
  }

  /// The candidate with the highest score; without scores, a finished one with the highest mean
  /// log-probability.
  static func best(of candidates: [RunResult.Candidate]) -> Int? {
    func rank(_ candidate: RunResult.Candidate) -> (Double, Double, Double) {
      (
        candidate.score ?? -.infinity, candidate.finished ? 1 : 0,
        candidate.tokens == 0 ? -.infinity : candidate.logprob / Double(candidate.tokens)
      )
    }
    return candidates.indices.max { rank(candidates[$0]) < rank(candidates[$1]) }
  }

  // MARK: The thread

  private func startThread() {
    let thread = Thread { [component, scope, run, outcome] in
      run.claimThread()
      let end = Self.callPlugin(component, scope)
      run.judge.leave()
      outcome.send(end)
    }
    thread.name = "martlet \(scope.id)"
    thread.stackSize = Self.stackBytes
    run.judge.enter()
    thread.start()
  }

  /// The instance's whole life: create, run, destroy.
  static func callPlugin(_ component: LoadedComponent, _ scope: ComponentScope) -> Outcome {
    let handle = ScopeTable.insert(scope)
    defer { ScopeTable.remove(handle) }
    let functions = component.functions.load(as: martlet_strategy.self)
    var instance: UnsafeMutableRawPointer?
    let created = functions.create(
      component.descriptor, hostTable, Handle.pointer(handle), &instance)
    guard created == MARTLET_OK else {
      return .returned(status: created.rawValue, failure: scope.failure("create", created))
    }
    let status = functions.run(instance)
    let failure = status == MARTLET_OK ? "" : scope.failure("run", status)
    functions.destroy(instance)
    return .returned(status: status.rawValue, failure: failure)
  }
}

/// A value that is sent at most once effectively, and awaited once.
final class OneShot<Value: Sendable>: Sendable {
  private enum State {
    case empty
    case waiting(CheckedContinuation<Value, Never>)
    case sent(Value)
    case taken
  }

  private let state = Mutex(State.empty)

  /// Sends a value; all but the first are dropped.
  func send(_ value: Value) {
    let waiting: CheckedContinuation<Value, Never>? = state.withLock { state in
      switch state {
      case .empty:
        state = .sent(value)
        return nil
      case .waiting(let continuation):
        state = .taken
        return continuation
      case .sent, .taken:
        return nil
      }
    }
    waiting?.resume(returning: value)
  }

  /// Waits for the value.
  func value() async -> Value {
    await withCheckedContinuation { continuation in
      let sent: Value? = state.withLock { state in
        if case .sent(let value) = state {
          state = .taken
          return value
        }
        state = .waiting(continuation)
        return nil
      }
      if let sent { continuation.resume(returning: sent) }
    }
  }
}

/// Something that happens at most once and is asked about later.
final class Flag: Sendable {
  private let state = Atomic(false)

  func set() { state.store(true, ordering: .releasing) }

  var isSet: Bool { state.load(ordering: .acquiring) }
}
