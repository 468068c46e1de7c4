import Foundation
import MartletModel

extension Run {
  /// Starts branches without waiting; each produces one event when it stops, finished ones at once.
  ///
  /// While nobody waits, branches go on for at most ``EngineConfiguration/overrun`` tokens past the
  /// run's clock; with a token budget they prepare their next token and stop there.
  ///
  /// Throws ``EngineError/Code/state`` when a branch is already advancing,
  /// ``EngineError/Code/released``, ``EngineError/Code/cancelled``, or the failure of the run; then
  /// none was started.
  public func submit(_ branches: [Branch], _ advance: Advance = .init()) throws(EngineError) {
    try core.submit(state, branches.map(\.state), advance, events: true)
  }

  /// Waits for the next event of a submitted branch. nil when nothing submitted is left.
  ///
  /// Blocks the calling thread, which must be the caller's own: not one of the threads of Swift's
  /// concurrency pool. Throws ``EngineError/Code/cancelled`` or the failure of the run.
  public func waitAny() throws(EngineError) -> BranchEvent? {
    while true {
      let reply = BlockingReply<Result<StoppedBranch?, EngineError>>()
      core.waitAny(state) { reply.send($0) }
      guard let stopped = try reply.receive().get() else { return nil }
      if let event = stopped.take() { return event }
    }
  }

  /// Waits for the next event of a submitted branch without blocking a thread. nil when nothing
  /// submitted is left. Throws as ``waitAny()``; cancelling the task cancels the run.
  public func nextEvent() async throws(EngineError) -> BranchEvent? {
    while true {
      let result = await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          core.waitAny(state) { continuation.resume(returning: $0) }
        }
      } onCancel: {
        core.cancel(state)
      }
      guard let stopped = try result.get() else { return nil }
      if let event = stopped.take() { return event }
    }
  }

  /// Advances branches together until each has stopped; finished ones are left alone. Why each
  /// stopped is its ``Branch/stop``; a spent budget shows there as ``StopReason/budget``.
  ///
  /// Cancelling the task stops the branches at their next token and throws
  /// ``EngineError/Code/cancelled``. Throws also as ``submit(_:_:)``.
  public func advance(
    _ branches: [Branch], _ advance: Advance = .init()
  ) async throws(EngineError) {
    let states = branches.map(\.state)
    try core.submit(state, states, advance, events: false)
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        core.waitAll(state, states) { continuation.resume(returning: $0) }
      }
    } onCancel: {
      core.interrupt(state, states)
    }
    try result.get()
    if Task.isCancelled, branches.contains(where: { $0.stop == .cancelled }) {
      throw EngineError(.cancelled, "the task that advanced the branches was cancelled")
    }
  }

  /// ``advance(_:_:)`` for a thread of the caller's own, which it blocks.
  public func advanceBlocking(
    _ branches: [Branch], _ advance: Advance = .init()
  ) throws(EngineError) {
    let states = branches.map(\.state)
    try core.submit(state, states, advance, events: false)
    let reply = BlockingReply<Result<Void, EngineError>>()
    core.waitAll(state, states) { reply.send($0) }
    try reply.receive().get()
  }

  /// What the model thinks comes next after each of the branches, which stay as they are. Reads one
  /// row of logits per branch, in one batch, and draws nothing: the rows serve the next advance too.
  ///
  /// Throws ``EngineError/Code/state`` for a branch that is finished (``Branch/reopened()`` makes one
  /// that is not), ``EngineError/Code/budget`` when the gate or the ceiling on pages refuses, and as
  /// ``submit(_:_:)``. Blocks the calling thread, as ``waitAny()``.
  public func nextTokensBlocking(
    _ branches: [Branch], _ query: NextTokenQuery
  ) throws(EngineError) -> [NextToken] {
    try requireUnfinished(branches)
    var advance = Advance()
    advance.query = query
    try advanceBlocking(branches, advance)
    return try answers(of: branches)
  }

  /// ``nextTokensBlocking(_:_:)`` without blocking a thread.
  public func nextTokens(
    _ branches: [Branch], _ query: NextTokenQuery
  ) async throws(EngineError) -> [NextToken] {
    try requireUnfinished(branches)
    var advance = Advance()
    advance.query = query
    try await self.advance(branches, advance)
    return try answers(of: branches)
  }

  private func requireUnfinished(_ branches: [Branch]) throws(EngineError) {
    guard let finished = branches.first(where: \.finished) else { return }
    throw EngineError(
      .state,
      "branch \(finished.path) is finished (\(finished.stop)), and nothing comes next; reopen it")
  }

  private func answers(of branches: [Branch]) throws(EngineError) -> [NextToken] {
    var answers: [NextToken] = []
    for branch in branches {
      guard let answer = core.nextToken(of: branch.state) else {
        throw EngineError(
          branch.stop == .cancelled ? .cancelled : .budget,
          "branch \(branch.path) was stopped before its logits were read (\(branch.stop))")
      }
      answers.append(answer)
    }
    return answers
  }

  /// Advances one branch and streams its tokens as they are drawn. The stream ends when the branch
  /// stops, and throws what ``advance(_:_:)`` would. When the consumer stops reading or its task is
  /// cancelled, the branch is cancelled at its next token.
  public func stream(
    _ branch: Branch, _ advance: Advance = .init()
  ) -> AsyncThrowingStream<TokenEvent, any Error> {
    AsyncThrowingStream { continuation in
      let (core, run, state) = (core, state, branch.state)
      continuation.onTermination = { reason in
        if case .cancelled = reason { core.interrupt(run, [state]) }
      }
      do throws(EngineError) {
        try core.submit(run, [state], advance, events: false) { continuation.yield($0) }
      } catch {
        continuation.finish(throwing: error)
        return
      }
      core.waitAll(run, [state]) { result in
        _ = (self, branch)  // Kept alive while they stream.
        switch result {
        case .success: continuation.finish()
        case .failure(let error): continuation.finish(throwing: error)
        }
      }
    }
  }
}

/// Hands one value from the driver to a blocked thread of the caller's.
final class BlockingReply<Value: Sendable>: @unchecked Sendable {
  // @unchecked: `value` is written before the signal and read after the wait.
  private let arrived = DispatchSemaphore(value: 0)
  private var value: Value?

  func send(_ value: Value) {
    self.value = value
    arrived.signal()
  }

  func receive() -> Value {
    arrived.wait()
    return value!
  }
}
