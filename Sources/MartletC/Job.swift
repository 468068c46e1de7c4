import CMartlet
import Foundation
import Martlet

/// A run in progress or ended: what it said on its way, and its result, until somebody wants them.
final class Job: @unchecked Sendable {
  // Sendable: `state` is touched only while `condition` is locked.
  private let condition = NSCondition()
  private var state = State()
  private let stream: Stream?

  private struct State {
    var task: Task<Void, Never>?
    var isCancelled = false
    var events: [StreamEvent] = []
    /// The thread that is inside the caller's callback.
    var delivering: pthread_t?
    /// Whether the callback wants no more.
    var isRefused = false
    var outcome: Result<String, Failure>?
  }

  init(_ stream: Stream?) { self.stream = stream }

  /// Whether anybody listens.
  var isStreamed: Bool { stream != nil }

  /// Begins the work, whose result is a JSON text.
  func begin(_ work: @escaping @Sendable () async throws -> String) {
    locked { state in
      state.task = Task.detached { [self] in
        let outcome: Result<String, Failure>
        do {
          outcome = .success(try await work())
        } catch {
          outcome = .failure(Failure(describing: error))
        }
        locked {
          $0.outcome = outcome
          $0.task = nil
        }
      }
      if state.isCancelled { state.task?.cancel() }
    }
  }

  /// Keeps an event for who waits.
  func add(_ event: StreamEvent) {
    locked { if !$0.isRefused { $0.events.append(event) } }
  }

  func cancel() {
    let task = locked { state in
      state.isCancelled = true
      return state.task
    }
    // Outside the lock: cancelling runs handlers at once.
    task?.cancel()
  }

  /// Waits until the work has ended, leaving its events to others.
  func waitForEnd() {
    condition.lock()
    defer { condition.unlock() }
    while state.outcome == nil { condition.wait() }
  }

  /// Delivers events until the work has ended and all were delivered.
  /// - Parameter deadline: when to give up; nil for never.
  /// - Throws: `MARTLET_E_STATE` at the deadline; what the work threw.
  func wait(until deadline: Date?) throws -> String {
    condition.lock()
    defer { condition.unlock() }
    while true {
      if let thread = state.delivering, pthread_equal(thread, pthread_self()) != 0 {
        throw Failure(
          MARTLET_E_STATE, "a job's own stream callback cannot wait for it; return from it first")
      }
      if state.delivering == nil, !state.events.isEmpty {
        deliver(state.events.removeFirst())
        continue
      }
      if state.delivering == nil, let outcome = state.outcome { return try outcome.get() }
      if let deadline {
        guard condition.wait(until: deadline) || state.outcome != nil || !state.events.isEmpty,
          state.delivering == nil || Date.now < deadline
        else { throw Failure(MARTLET_E_STATE, "the job has not ended yet; wait for it again") }
      } else {
        condition.wait()
      }
    }
  }

  /// Calls the caller's callback, unlocked. Nobody else does meanwhile, so that events keep their order.
  private func deliver(_ event: StreamEvent) {
    guard let stream else { return }
    state.delivering = pthread_self()
    condition.unlock()
    let goesOn = stream.deliver(event)
    condition.lock()
    state.delivering = nil
    if !goesOn {
      state.isRefused = true
      state.events = []
      state.isCancelled = true
      let task = state.task
      condition.unlock()
      task?.cancel()
      condition.lock()
    }
    condition.broadcast()
  }

  private func locked<R>(_ body: (inout State) -> R) -> R {
    condition.lock()
    defer {
      condition.broadcast()
      condition.unlock()
    }
    return body(&state)
  }
}
