import Foundation
import MartletEngine

/// Runs the built-in strategies: the root branch from beginning to end, streamed if wanted.
struct SingleBranchRun: Sendable {
  let engineRun: Run
  let prompt: String
  let ledger: BudgetLedger
  let judge: Judge
  /// Whether the user named a scorer, so that the answer is to be scored.
  let mustScore: Bool

  func run(onText: (@Sendable (String) -> Void)?) async throws(ScalingError) -> RunEnding {
    let deadline = Deadline(ledger) { engineRun.cancel() }
    defer { deadline.stop() }
    let root = engineRun.root
    defer { root.release() }
    var unrecorded: String?
    do {
      if let onText {
        for try await event in engineRun.stream(root) { onText(event.text) }
      } else {
        try await engineRun.advance([root])
      }
    } catch let error as EngineError where error.code == .unrecorded && root.generatedTokens > 0 {
      unrecorded = error.message
    } catch let error as EngineError where error.code != .cancelled {
      throw ScalingError(error)
    } catch {
      // Cancelled, by the caller or by the deadline: what there is counts.
    }

    let cause: RunResult.StopCause
    if unrecorded != nil {
      cause = .notRecorded
    } else if let budget = RunEnding.cause(ofBudget: ledger.ended) {
      cause = budget
    } else if Task.isCancelled || engineRun.isCancelled {
      cause = .cancelled
    } else if root.stop == .budget {
      cause = .budgetKVBytes
    } else {
      cause = RunEnding.cause(ofAnswer: nil)
    }
    if root.generatedTokens == 0, cause == .cancelled {
      throw ScalingError(.cancelled, "the run was cancelled before it generated anything")
    }
    let candidate = try judged(root)
    return RunEnding(
      candidates: [candidate], answer: 0,
      cause: cause == .finished ? RunEnding.cause(ofAnswer: candidate) : cause,
      failure: unrecorded)
  }

  private func judged(_ root: Branch) throws(ScalingError) -> RunResult.Candidate {
    let text = JudgedText(
      prompt: prompt, text: root.text, logprobs: root.logprobs,
      isFinished: root.stop == .endOfSequence || root.stop == .stopString)
    do throws(HostFailure) {
      let answer =
        judge.hasExtractor
        ? try judge.extract(text, run: nil) : text.text.trimmingWhitespace()
      var candidate = RunResult.Candidate(root, judged: text, answer: answer)
      if mustScore { candidate.score = try judge.score(text, run: nil) }
      return candidate
    } catch {
      throw ScalingError(.plugin, error.message)
    }
  }
}

extension String {
  /// Without spaces and line breaks at either end.
  func trimmingWhitespace() -> String { trimmingCharacters(in: .whitespacesAndNewlines) }
}

/// Calls something once when a ledger's deadline passes.
///
/// On a timer of the system's: Swift's concurrency pool has as many threads as there are cores, and a caller that
/// blocks them would hold up deadlines.
final class Deadline: Sendable {
  // Used to cancel it, which any thread may.
  nonisolated(unsafe) private let timer: DispatchWorkItem?

  init(_ ledger: BudgetLedger, _ passed: @escaping @Sendable () -> Void) {
    timer = ledger.remainingSeconds.map { seconds in
      let work = DispatchWorkItem {
        ledger.notesDeadline()
        passed()
      }
      DispatchQueue.global().asyncAfter(deadline: .now() + min(seconds, 1e9), execute: work)
      return work
    }
  }

  func stop() { timer?.cancel() }
}
