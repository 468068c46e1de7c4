import Foundation
import Synchronization

/// Standard output, written at once, by system calls whose failures are seen.
///
/// A failure is remembered, and later writes are dropped: work goes on where it has other results
/// (a trace), and the command ends with exit code 73.
enum StandardOutput {
  private static let failure = Mutex<Int32?>(nil)

  /// Writes a text. Whether standard output still takes what is written.
  @discardableResult
  static func write(_ text: String) -> Bool {
    failure.withLock { failure in
      if failure == nil { failure = writeAll(text, to: STDOUT_FILENO) }
      return failure == nil
    }
  }

  /// - Throws: `CommandError` `.output` when something written was lost.
  static func check() throws(CommandError) {
    guard let reason = failure.withLock({ $0 }) else { return }
    throw CommandError(
      .output, "standard output cannot be written: \(String(cString: strerror(reason)))")
  }
}

/// Standard error, for people. What cannot be shown there is not worth ending for.
enum StandardError {
  static func write(_ text: String) { _ = writeAll(text, to: STDERR_FILENO) }
}

/// Prints to ``StandardOutput``. Takes the place of Swift's own `print` in this module, which
/// buffers and does not tell when a text is lost.
func print(_ items: Any..., separator: String = " ", terminator: String = "\n") {
  StandardOutput.write(items.map { "\($0)" }.joined(separator: separator) + terminator)
}

enum StandardStreams {
  /// Makes failures of the standard streams errors of the calls that use them.
  ///
  /// A reader that went away is an error of the write and not a signal. A stream that was closed is
  /// taken up by a file that refuses the stream's use, or the next file opened would be taken for it.
  static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    for (stream, refusing) in [
      (STDIN_FILENO, O_WRONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_RDONLY),
    ] where fcntl(stream, F_GETFD) < 0 {
      // The lowest number that is free is this one: those below are open by now.
      _ = open("/dev/null", refusing)
    }
  }
}

/// Writes all of a text; what went wrong, as an `errno`, else nil.
private func writeAll(_ text: String, to file: Int32) -> Int32? {
  var text = text
  return text.withUTF8 { bytes in
    var done = 0
    while done < bytes.count {
      let count = write(file, bytes.baseAddress! + done, bytes.count - done)
      if count >= 0 {
        done += count
      } else if errno == EAGAIN {
        // Somebody made it non-blocking: wait until it takes more.
        var waiting = pollfd(fd: file, events: Int16(POLLOUT), revents: 0)
        _ = poll(&waiting, 1, -1)
      } else if errno != EINTR {
        return errno
      }
    }
    return nil
  }
}
