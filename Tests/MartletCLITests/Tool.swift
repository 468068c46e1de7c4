import Foundation
import Testing

/// The built tool `martlet`, run as a user's shell would run it.
enum Tool {
  struct Output {
    let code: Int32
    let out: String
    let error: String

    /// Standard output as one JSON object.
    func object() throws -> [String: Any] {
      try #require(JSONSerialization.jsonObject(with: Data(out.utf8)) as? [String: Any])
    }
  }

  /// SwiftPM puts the tool beside the test bundle.
  static let path = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appendingPathComponent("martlet").path

  /// The model that comes with the tool.
  static let embeddedModel = URL(fileURLWithPath: path).deletingLastPathComponent()
    .appendingPathComponent("martlet_Martlet.resources/martlet-arith.gguf")

  /// Runs the tool to its end.
  /// - Parameters:
  ///   - through: a program that starts the tool, with its arguments, such as `taskset -c 0`.
  static func run(
    _ arguments: [String], input: Data = Data(), environment: [String: String] = [:],
    through wrapper: [String] = []
  ) throws -> Output {
    let command = wrapper + [path] + arguments
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    // Files, not pipes: a full pipe that nobody reads would stop the tool.
    let folder = try TemporaryFolder()
    let (input, out, error) = (
      try folder.file("in", input), try folder.file("out"), try folder.file("err")
    )
    process.standardInput = try FileHandle(forReadingFrom: input)
    process.standardOutput = try FileHandle(forWritingTo: out)
    process.standardError = try FileHandle(forWritingTo: error)
    try process.run()
    process.waitUntilExit()
    return Output(
      code: process.terminationStatus,
      out: String(decoding: try Data(contentsOf: out), as: UTF8.self),
      error: String(decoding: try Data(contentsOf: error), as: UTF8.self))
  }
}

/// A program that starts the tool: bash, with a script in which `"$@"` is the tool with its arguments.
func shell(_ script: String) -> [String] { ["bash", "-c", script, "bash"] }

/// A folder that is removed with its owner.
final class TemporaryFolder: Sendable {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory
      .appendingPathComponent("martlet-cli-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  /// A file in the folder.
  func file(_ name: String, _ data: Data = Data()) throws -> URL {
    let file = url.appendingPathComponent(name)
    try data.write(to: file)
    return file
  }
}

/// Runs a program to its end, its output and errors in one text.
func runProgram(_ words: [String]) throws -> (code: Int32, text: String) {
  let process = Process()
  let pipe = Pipe()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = words
  process.standardOutput = pipe
  process.standardError = pipe
  try process.run()
  let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  process.waitUntilExit()
  return (process.terminationStatus, text)
}
