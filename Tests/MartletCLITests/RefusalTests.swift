import Foundation
import Testing

/// What goes wrong from outside gives an exit code and one sentence that says what to do.
@Suite struct RefusalTests {
  private func expect(
    _ arguments: [String], code: Int32, says parts: String..., environment: [String: String] = [:],
    input: Data = Data(), sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let output = try Tool.run(arguments, input: input, environment: environment)
    #expect(output.code == code, "\(output.error)", sourceLocation: sourceLocation)
    for part in parts {
      #expect(
        output.error.contains(part), "'\(part)' is not in: \(output.error)",
        sourceLocation: sourceLocation)
    }
    #expect(output.out.isEmpty, sourceLocation: sourceLocation)
  }

  @Test func modelsThatCannotBeUsed() throws {
    let folder = try TemporaryFolder()
    let missing = folder.url.appendingPathComponent("missing.gguf").path
    try expect(["run", "x", "--model", missing], code: 66, says: missing)

    let garbage = try folder.file("garbage.gguf", Data(repeating: 0x5A, count: 4096)).path
    try expect(["run", "x", "--model", garbage], code: 65, says: garbage)
    try expect(["model", "info", "--model", garbage], code: 65, says: garbage)

    let embedded = URL(fileURLWithPath: Tool.path).deletingLastPathComponent()
      .appendingPathComponent("martlet_Martlet.resources/martlet-arith.gguf")
    let half = try Data(contentsOf: embedded).prefix(500_000)
    let truncated = try folder.file("truncated.gguf", half).path
    try expect(["run", "x", "--model", truncated], code: 65, says: truncated)
  }

  @Test func strategiesScorersAndOptionsThatDoNotExist() throws {
    try expect(["run", "x", "--strategy", "oracle"], code: 64, says: "oracle", "best-of-n")
    try expect(["run", "x", "--scorer", "oracle"], code: 64, says: "oracle", "exact-checker")
    let strategy = ["run", "x", "--strategy", "best-of-n"]
    try expect(strategy + ["--set", "m=4"], code: 64, says: "'m'", "n")
    try expect(strategy + ["--set", "n=0"], code: 64, says: "n", "0")
    try expect(strategy + ["--set", "n=many"], code: 64, says: "many")
    try expect(["run", "x", "--sampling", "heat=3"], code: 64, says: "heat", "temperature")
  }

  @Test func budgetsThatAreNoAmount() throws {
    for budget in ["tokens=0", "tokens=-1", "seconds=0", "seconds=nan", "tokens=abc", "joules=3"] {
      try expect(["run", "calc 1 +1?", "--budget", budget], code: 64, says: "budget")
    }
  }

  @Test func promptsThatDoNotFit() throws {
    try expect(
      ["run", String(repeating: "calc 1 +1? ", count: 400)], code: 64, says: "context", "256")
    try expect(["run", ""], code: 64, says: "empty")
    try expect(["run"], code: 64, says: "UTF-8", input: Data([0xFF, 0xFE]))
  }

  @Test func anUnknownISA() throws {
    try expect(
      ["run", "calc 1 +1?"], code: 64, says: "MARTLET_ISA", "mmx",
      environment: ["MARTLET_ISA": "mmx"])
  }

  @Test func tokensOutsideTheVocabulary() throws {
    try expect(
      ["model", "logits", "--tokens", "1,99999", "--out", "/dev/null"], code: 64, says: "99999")
    try expect(["model", "logits", "--tokens", "1,x", "--out", "/dev/null"], code: 64, says: "x")
  }

  @Test func aHomeThatCannotBeWrittenDoesNotMatter() throws {
    let output = try Tool.run(
      ["run", "calc 17 +4?"], environment: ["HOME": "/proc", "XDG_DATA_HOME": "/proc/none"])
    #expect(output.code == 0, "\(output.error)")
    #expect(output.out.contains("#"))
  }
}
