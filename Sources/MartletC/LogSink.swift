import CMartlet
import Foundation
import Logging
import Synchronization

/// Where log lines go: to a callback of the caller's, or to nobody. The library prints nothing.
enum LogSink {
  private struct Target: @unchecked Sendable {
    // Sendable: the context is handed back as it came and never looked into.
    var function: martlet_log?
    var context: UnsafeMutableRawPointer?
    var level: Int32 = 0
  }

  private static let target = Mutex(Target())

  /// Takes over logging; once, however often it is asked for.
  static let isInstalled: Bool = {
    LoggingSystem.bootstrap { Handler(label: $0) }
    return true
  }()

  static func set(_ function: martlet_log?, _ context: UnsafeMutableRawPointer?, _ level: Int32) {
    target.withLock { $0 = Target(function: function, context: context, level: level) }
  }

  /// Under the lock, so that once a callback was replaced it is not called any more.
  private static func write(_ level: Int32, _ text: () -> String) {
    target.withLock { target in
      guard let function = target.function, level >= target.level else { return }
      let text = text()
      text.withCString { function(target.context, level, $0, text.utf8.count) }
    }
  }

  private struct Handler: LogHandler {
    let label: String
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.debug

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let level: Int32 =
        switch event.level {
        case .trace, .debug: 0
        case .info, .notice: 1
        case .warning: 2
        case .error, .critical: 3
        }
      LogSink.write(level) { "\(label): \(event.message)" }
    }
  }
}
