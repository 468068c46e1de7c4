import Foundation

/// A user's command decides: exit code 0 is right, any other wrong.
package struct CommandCheck: AnswerCheck {
  /// A command that takes longer has not found the answer right.
  static let limit = 30.0

  let command: String
  let question: String
  /// Where the suite names the command, for errors.
  let place: String

  package init(command: String, question: String, place: String) {
    (self.command, self.question, self.place) = (command, question, place)
  }

  package func isRight(answer: String, text: String) throws(LabError) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", command]
    process.environment = ProcessInfo.processInfo.environment
      .merging(["MARTLET_QUESTION": question]) { $1 }
    let input = FileManager.default.temporaryDirectory
      .appendingPathComponent("martlet-answer-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: input) }
    do {
      // A file, not a pipe: a command that does not read must not stop the evaluation.
      try Data(answer.utf8).write(to: input)
      process.standardInput = try FileHandle(forReadingFrom: input)
      process.standardOutput = FileHandle.nullDevice
      try process.run()
    } catch {
      throw LabError(.unavailable, "\(place): the checker cannot be started: \(error)")
    }
    let timer = DispatchSource.makeTimerSource()
    timer.schedule(deadline: .now() + Self.limit)
    timer.setEventHandler { process.terminate() }
    timer.resume()
    process.waitUntilExit()
    timer.cancel()
    let code = process.terminationStatus
    if process.terminationReason == .exit, code == 126 || code == 127 {
      throw LabError(
        .unavailable,
        "\(place): the checker '\(command)' cannot be run (exit code \(code)); correct the command")
    }
    return process.terminationReason == .exit && code == 0
  }
}
