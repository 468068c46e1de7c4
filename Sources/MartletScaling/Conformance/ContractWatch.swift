import CMartlet
import Synchronization

/// What the conformance checker wants to know of the calls that plugins make. Nothing is kept unless it
/// watches, and it watches in a process of its own.
enum ContractWatch {
  struct Log {
    /// Calls that were refused for an argument or because it was not the moment for them.
    var refused: [String] = []
    /// Calls that failed because the run had ended.
    var callsAfterEnd = 0
    /// Scores given last, by branch handle.
    var scores: [UInt: Double] = [:]
    var resamplings: [Resampling] = []
  }

  /// One call of `resample`, of branches whose scores are known.
  struct Resampling {
    let scores: [Double]
    let ancestors: [Int]
  }

  private static let isOn = Atomic(false)
  private static let log = Mutex(Log())

  /// Runs a body and gives what was seen meanwhile.
  static func during(
    _ body: () async throws(CaseFailure) -> Void
  ) async throws(CaseFailure) -> Log {
    log.withLock { $0 = Log() }
    isOn.store(true, ordering: .releasing)
    defer { isOn.store(false, ordering: .releasing) }
    try await body()
    return log.withLock { $0 }
  }

  static func note(_ failure: HostFailure) {
    guard isOn.load(ordering: .acquiring) else { return }
    log.withLock { log in
      switch failure.status {
      case MARTLET_E_BUDGET, MARTLET_E_CANCELLED: log.callsAfterEnd += 1
      case MARTLET_E_ARGUMENT, MARTLET_E_STATE:
        if !failure.isOrdinary, log.refused.count < 16 { log.refused.append(failure.message) }
      default: break
      }
    }
  }

  static func noteScores(_ scores: [Double], of handles: UnsafePointer<martlet_branch?>?) {
    guard isOn.load(ordering: .acquiring), let handles else { return }
    log.withLock { log in
      for (index, score) in scores.enumerated() {
        log.scores[Handle.number(handles[index])] = score
      }
    }
  }

  static func noteResampling(_ population: [martlet_branch?], _ ancestors: [Int]) {
    guard isOn.load(ordering: .acquiring) else { return }
    log.withLock { log in
      let scores = population.compactMap { log.scores[Handle.number($0)] }
      guard scores.count == population.count else { return }
      log.resamplings.append(Resampling(scores: scores, ancestors: ancestors))
    }
  }
}
