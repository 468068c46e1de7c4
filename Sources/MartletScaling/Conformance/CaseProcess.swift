import Foundation

/// Runs one case in a process of its own and reads its report.
struct CaseProcess {
  let executable: String
  let arguments: [String]
  let timeout: Duration

  func report(of name: PluginChecker.Case) async -> PluginChecker.Report {
    // A file rather than a pipe: a plugin that prints a lot must not block on us.
    let output = FileManager.default.temporaryDirectory.appendingPathComponent(
      "martlet-check-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: output) }
    guard FileManager.default.createFile(atPath: output.path, contents: nil),
      let handle = try? FileHandle(forWritingTo: output)
    else {
      return PluginChecker.Report(name, passed: false, "\(output.path) cannot be written")
    }
    defer { try? handle.close() }

    // Odd texts as options may be names of files.
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "martlet-case-\(UUID().uuidString)")
    try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }

    let process = Process()
    process.currentDirectoryURL = folder
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = handle
    process.standardError = FileHandle.nullDevice
    let ended = OneShot<Bool>()
    process.terminationHandler = { _ in ended.send(true) }
    do {
      try process.run()
    } catch {
      return PluginChecker.Report(name, passed: false, "\(executable) does not start: \(error)")
    }
    let timer = Task { [timeout] in
      do { try await Task.sleep(for: timeout) } catch { return }
      ended.send(false)
    }
    let isInTime = await ended.value()
    timer.cancel()
    if !isInTime {
      // Not SIGTERM: a hung plugin may have blocked it.
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      return PluginChecker.Report(
        name, passed: false, "hang: no report within \(timeout.components.seconds) s")
    }
    if process.terminationReason == .uncaughtSignal {
      return PluginChecker.Report(
        name, passed: false, "crash: signal \(process.terminationStatus)")
    }
    return lastReport(in: output, name)
      ?? PluginChecker.Report(
        name, passed: false, "no report; the process exited with \(process.terminationStatus)")
  }

  private func lastReport(in file: URL, _ name: PluginChecker.Case) -> PluginChecker.Report? {
    guard let data = try? Data(contentsOf: file) else { return nil }
    for line in data.split(separator: UInt8(ascii: "\n")).reversed() {
      if let report = try? JSONDecoder().decode(PluginChecker.Report.self, from: Data(line)),
        report.name == name
      {
        return report
      }
    }
    return nil
  }
}
