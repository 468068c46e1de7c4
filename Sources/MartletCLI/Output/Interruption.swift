import Dispatch
import Foundation

/// Calls a closure on the first control-C; the second one ends the program as usual.
final class Interruption {
  private let source: any DispatchSourceSignal

  init(_ onInterrupt: @escaping @Sendable () -> Void) {
    signal(SIGINT, SIG_IGN)
    source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
    source.setEventHandler {
      signal(SIGINT, SIG_DFL)
      onInterrupt()
    }
    source.resume()
  }

  func end() {
    source.cancel()
    signal(SIGINT, SIG_DFL)
  }
}
