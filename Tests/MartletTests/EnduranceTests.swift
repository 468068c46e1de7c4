import Foundation
import MartletScaling
import Testing

/// A part of what `make endurance` does, in a process of its own, whose threads and files are counted.
@Suite("Runs that end in every way there is") struct EnduranceTests {
  @Test("leave nothing behind and exceed no budget")
  func nothingStaysBehind() throws {
    let folder = URL(fileURLWithPath: PluginSearchPath.currentExecutable)
      .deletingLastPathComponent()
    let process = Process()
    let pipe = Pipe()
    process.executableURL = folder.appendingPathComponent("Endurance")
    process.arguments = ["--runs", "300", "--seed", "1"]
    process.standardError = pipe
    try process.run()
    let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0, "\(text)")
    #expect(text.contains("nothing was left behind"))
  }
}
