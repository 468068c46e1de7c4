import Foundation
import Testing

/// Where results go, and what happens when they cannot.
@Suite struct OutputTests {
  private static let run = ["run", "calc 17 +4?"]

  @Test(arguments: [
    run, run + ["--json"], run + ["--stream"], ["model", "tokenize", "a"], ["plugin", "list"],
    ["kernels", "--json"], ["topology"], ["--help"], ["--version"],
  ])
  func lostOutputIsNoSuccess(arguments: [String]) throws {
    for target in [">/dev/full", ">&-"] {
      let output = try Tool.run(arguments, through: shell(#"exec "$@" "# + target))
      #expect(output.code == 73, "\(arguments) \(target): \(output.error)")
      #expect(output.error.contains("standard output cannot be written"), "\(output.error)")
    }
  }

  @Test func lostMessagesCostNothing() throws {
    let expected = try Tool.run(Self.run)
    for target in ["2>/dev/full", "2>&-"] {
      let output = try Tool.run(
        Self.run, environment: ["MARTLET_LOG": "debug"], through: shell(#"exec "$@" "# + target))
      #expect(output.code == 0, "\(target)")
      #expect(output.out == expected.out)
      let refused = try Tool.run(
        ["run", "x", "--strategy", "oracle"], through: shell(#"exec "$@" "# + target))
      #expect(refused.code == 64, "\(target)")
    }
  }

  /// `martlet … | head`, whose reader goes away.
  @Test func aReaderThatGoesAwayEndsTheRunAndCostsNoTrace() throws {
    let folder = try TemporaryFolder()
    let trace = folder.url.appendingPathComponent("trace.json")
    let output = try Tool.run(
      Self.run + ["--stream", "--trace", trace.path],
      through: shell(#"{ sleep 0.5; exec "$@"; } | exec true; exit ${PIPESTATUS[0]}"#))
    #expect(output.code == 73, "\(output.error)")
    #expect(output.error.contains("Broken pipe"))
    #expect(output.error.contains("stopped because cancelled"), "\(output.error)")
    _ = try JSONSerialization.jsonObject(with: Data(contentsOf: trace))
  }

  @Test func whatIsNoFileIsWrittenToAndNotReplaced() throws {
    let folder = try TemporaryFolder()
    let script = """
      cd '\(folder.url.path)' && mkfifo fifo || exit 1
      cat fifo > copy & "$@" fifo; code=$?
      wait; test -p fifo || exit 2; exit $code
      """
    let trace = try Tool.run(Self.run + ["--trace"], through: shell(script))
    #expect(trace.code == 0, "\(trace.error)")
    let copy = folder.url.appendingPathComponent("copy")
    _ = try JSONSerialization.jsonObject(with: Data(contentsOf: copy))

    try FileManager.default.removeItem(at: folder.url.appendingPathComponent("fifo"))
    let logits = try Tool.run(
      ["model", "logits", "--tokens", "1,2", "--out"], through: shell(script))
    #expect(logits.code == 0, "\(logits.error)")
    #expect(try Data(contentsOf: copy).prefix(6) == Data([0x93] + Array("NUMPY".utf8)))
  }

  @Test func aFileIsReplacedWholeThroughItsLinkAndKeepsItsMode() throws {
    let folder = try TemporaryFolder()
    let file = try folder.file("file", Data("before".utf8))
    let link = folder.url.appendingPathComponent("link")
    let manager = FileManager.default
    try manager.createSymbolicLink(at: link, withDestinationURL: file)
    try manager.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
    #expect(try Tool.run(Self.run + ["--trace", link.path]).code == 0)
    #expect(try manager.destinationOfSymbolicLink(atPath: link.path) == file.path)
    let mode = try manager.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    _ = try JSONSerialization.jsonObject(with: Data(contentsOf: file))
    #expect(Set(try manager.contentsOfDirectory(atPath: folder.url.path)) == ["file", "link"])
  }

  @Test func aTraceThatCannotBeWrittenCostsNoAnswer() throws {
    let folder = try TemporaryFolder()
    for (path, reason) in [
      (folder.url.path, "Is a directory"),
      (folder.url.path + "/missing/trace.json", "No such file or directory"),
      ("/dev/full", "No space left on device"),
    ] {
      let output = try Tool.run(Self.run + ["--trace", path])
      #expect(output.code == 73)
      #expect(output.error.contains("martlet: \(path): cannot be written: \(reason);"))
      #expect(output.out.contains("#"))
    }
  }
}
