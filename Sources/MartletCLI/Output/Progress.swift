import Foundation
import Synchronization

/// Progress on standard error: a bar on a terminal, plain lines otherwise.
///
/// Nothing is shown before a second has passed, so that short work stays quiet.
final class Progress: Sendable {
  private struct State {
    let started = ContinuousClock.now
    var lastShown: ContinuousClock.Instant?
    var shownTenth = 0
  }

  private let label: String
  private let terminal = isatty(STDERR_FILENO) == 1
  private let state = Mutex(State())

  init(_ label: String) { self.label = label }

  /// Reports that `fraction` (0…1) is done.
  func update(_ fraction: Double, note: String = "") {
    let clamped = min(max(fraction, 0), 1)
    state.withLock { state in
      let now = ContinuousClock.now
      guard now - state.started > .seconds(1) else { return }
      let tenth = Int(clamped * 10)
      if terminal {
        if let last = state.lastShown, now - last < .milliseconds(100), clamped < 1 { return }
        let filled = Int(clamped * 30)
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled)
        write("\r\u{1B}[K\(label) \(bar) \(Int(clamped * 100)) % \(note)")
      } else if tenth > state.shownTenth || state.lastShown == nil {
        write("\(label): \(Int(clamped * 100)) % \(note)\n")
      } else {
        return
      }
      state.shownTenth = tenth
      state.lastShown = now
    }
  }

  /// Clears the bar, if one was drawn.
  func finish() {
    state.withLock { state in
      if terminal, state.lastShown != nil { write("\r\u{1B}[K") }
    }
  }

  private func write(_ text: String) { StandardError.write(text) }
}
