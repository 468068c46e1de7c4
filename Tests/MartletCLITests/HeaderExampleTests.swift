import Foundation
import Testing

/// The C programs in include/martlet/README.md compile without warnings against the headers and the
/// library, and print what the README says they print.
@Suite struct HeaderExampleTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  /// The fenced blocks of a language, in order.
  private func blocks(_ language: String, in text: String) -> [String] {
    var blocks: [String] = []
    var current: [Substring]?
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if let lines = current {
        guard line == "```" else {
          current = lines + [line]
          continue
        }
        blocks.append(lines.joined(separator: "\n") + "\n")
        current = nil
      } else if line == "```" + language {
        current = []
      }
    }
    return blocks
  }

  @Test func examplesPrintWhatTheySay() throws {
    let readme = try String(
      contentsOf: Self.root.appendingPathComponent("include/martlet/README.md"), encoding: .utf8)
    let programs = blocks("c", in: readme)
    let outputs = blocks("text", in: readme)
    #expect(!programs.isEmpty && programs.count == outputs.count)
    let products = URL(fileURLWithPath: Tool.path).deletingLastPathComponent().path
    for (program, output) in zip(programs, outputs) {
      let folder = try TemporaryFolder()
      let source = try folder.file("example.c", Data(program.utf8)).path
      let example = folder.url.appendingPathComponent("example").path
      let compiled = try runProgram([
        "cc", "-std=c17", "-Wall", "-Wextra", "-Werror",
        "-I", Self.root.appendingPathComponent("include").path, source, "-L", products,
        "-lCMartlet", "-Wl,-rpath,\(products)", "-o", example,
      ])
      #expect(compiled.code == 0, "\(compiled.text)")
      let ran = try runProgram([example])
      #expect(ran.code == 0 && ran.text == output, "\(ran.text)")
    }
  }
}
