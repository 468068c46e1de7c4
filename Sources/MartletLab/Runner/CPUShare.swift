import Foundation
import Synchronization

/// Shares the process's CPU time among the runs in progress.
///
/// Between one start or end of a run and the next, all runs in progress get the same. The shares of
/// all runs add up to what the process used while any was in progress.
package final class CPUShare: Sendable {
  private struct State {
    var used: [Int: Double] = [:]
    var last: Double
    var next = 0
  }

  private let state: Mutex<State>
  private let clock: @Sendable () -> Double

  package init(clock: @escaping @Sendable () -> Double = CPUShare.processSeconds) {
    self.clock = clock
    state = Mutex(State(last: clock()))
  }

  /// A run begins.
  package func begin() -> Int {
    state.withLock { state in
      share(&state)
      defer { state.next += 1 }
      state.used[state.next] = 0
      return state.next
    }
  }

  /// A run ends; its CPU-seconds.
  package func end(_ run: Int) -> Double {
    state.withLock { state in
      share(&state)
      return state.used.removeValue(forKey: run) ?? 0
    }
  }

  private func share(_ state: inout State) {
    let now = clock()
    let each = (now - state.last) / Double(max(1, state.used.count))
    for run in state.used.keys { state.used[run]! += each }
    state.last = now
  }

  @Sendable package static func processSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
