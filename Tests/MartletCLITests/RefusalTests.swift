import Foundation
import Testing

/// What goes wrong from outside gives an exit code and one sentence that says what to do.
@Suite struct RefusalTests {
  private func expect(
    _ arguments: [String], code: Int32, says parts: String..., environment: [String: String] = [:],
    input: Data = Data(), through wrapper: [String] = [],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let output = try Tool.run(
      arguments, input: input, environment: environment, through: wrapper)
    #expect(output.code == code, "\(output.error)", sourceLocation: sourceLocation)
    for part in parts {
      #expect(
        output.error.contains(part), "'\(part)' is not in: \(output.error)",
        sourceLocation: sourceLocation)
    }
    #expect(output.out.isEmpty, sourceLocation: sourceLocation)
  }

  @Test func optionsThatWouldDoNothing() throws {
    try expect(["plugin", "list", "--isolate"], code: 64, says: "--isolate")
    try expect(["plugin", "trust", "--isolate"], code: 64, says: "--isolate")
  }

  @Test func modelsThatCannotBeUsed() throws {
    let folder = try TemporaryFolder()
    let missing = folder.url.appendingPathComponent("missing.gguf").path
    try expect(["run", "x", "--model", missing], code: 66, says: missing)

    let garbage = try folder.file("garbage.gguf", Data(repeating: 0x5A, count: 4096)).path
    try expect(["run", "x", "--model", garbage], code: 65, says: garbage)
    try expect(["model", "info", "--model", garbage], code: 65, says: garbage)

    let half = try Data(contentsOf: Tool.embeddedModel).prefix(500_000)
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
    for budget in [
      "tokens=1,tokens=2", "tokens=0", "tokens=-1", "seconds=0", "seconds=nan", "tokens=abc",
      "joules=3",
    ] {
      try expect(["run", "calc 1 +1?", "--budget", budget], code: 64, says: "budget")
    }
  }

  @Test func promptsThatDoNotFit() throws {
    try expect(
      ["run", String(repeating: "calc 1 +1? ", count: 400)], code: 64, says: "context", "256")
    try expect(
      ["run", "calc 17 +4?", "--budget", "kv_bytes=4096"], code: 64, says: "kv_bytes allows 4096",
      "need")
    try expect(
      ["run", "calc 17 +4?", "--context", "256", "--kv-bytes", "256K"], code: 64,
      says: "256 tokens",
      "need 655360 bytes", "allows 262144")
    try expect(["run", "calc 17 +4?", "--context", "9999"], code: 64, says: "9999")
    try expect(["run", "calc 17 +4?", "--kv-bytes", "4Q"], code: 64, says: "4Q", "512M")
    try expect(["run", ""], code: 64, says: "empty")
    try expect(["run"], code: 64, says: "UTF-8", input: Data([0xFF, 0xFE]))
  }

  @Test func anUnknownISA() throws {
    try expect(
      ["run", "calc 1 +1?"], code: 64, says: "MARTLET_ISA", "mmx",
      environment: ["MARTLET_ISA": "mmx"])
  }

  @Test func numbersOutOfRangeNameTheirOption() throws {
    for threads in ["-1", "0", "5000", "many"] {
      try expect(
        ["run", "x", "--threads", threads], code: 64, says: "--threads", "'\(threads)'",
        "between 1 and 4096")
    }
    try expect(["run", "x", "--seed", "-1"], code: 64, says: "--seed", "'-1'")
    try expect(
      ["run", "x", "--max-tokens", "-1"], code: 64, says: "--max-tokens", "-1", "1 or more")
    try expect(["demo", "--problems", "-1"], code: 64, says: "--problems", "-1", "10000")
  }

  @Test func pathsThatAreEmptyOrOfTheWrongKind() throws {
    for option in ["--model", "--trace", "--plugin-dir"] {
      try expect(["run", "x", option, ""], code: 64, says: option, "empty")
    }
    let folder = try TemporaryFolder()
    let file = try folder.file("file").path
    try expect(
      ["model", "tokenize", "--file", folder.url.path], code: 66,
      says: "\(folder.url.path): cannot be read: Is a directory\n")
    try expect(["run", "x", "--plugin-dir", file], code: 66, says: file, "is a file")
    try expect(["plugin", "list", "--plugin-dir", file + "/no"], code: 66, says: "no such folder")
    try expect(["run"], code: 66, says: "standard input", through: shell(#"exec "$@" < /"#))
    try expect(["run"], code: 66, says: "standard input", through: shell(#"exec "$@" <&-"#))
  }

  @Test func samplingThatWouldDoNothing() throws {
    let greedy = ["run", "calc 17 +4?", "--json", "--strategy", "greedy", "--sampling"]
    for option in ["temperature=0.7", "top-k=3", "min-p=0.1,repetition-penalty=1.1"] {
      let name = String(option.prefix { $0 != "=" })
      try expect(greedy + [option], code: 64, says: name, "greedy", "--strategy sample")
    }
    for option in ["temperature=0", "repetition-penalty=1.1"] {
      #expect(try Tool.run(greedy + [option]).object()["strategy"] as? String == "greedy")
    }
    let drawn = ["run", "make 46 from 3 7 25?", "--json", "--sampling", "temperature=2"]
    let texts = try (0..<4).map { seed in
      let object = try Tool.run(drawn + ["--seed", "\(seed)"]).object()
      #expect(object["strategy"] as? String == "sample")
      return object["text"] as? String
    }
    #expect(Set(texts).count > 1)
  }

  @Test(arguments: ["greedy", "best-of-n"])
  func damagedWeights(strategy: String) throws {
    let folder = try TemporaryFolder()
    var bytes = try Data(contentsOf: Tool.embeddedModel)
    // All ones is not a number in every float format, and in the scale of every block.
    bytes.replaceSubrange((bytes.count - 4096)..., with: repeatElement(0xFF, count: 4096))
    let path = try folder.file("damaged.gguf", bytes).path
    try expect(
      ["run", "calc 17 +4?", "--model", path, "--strategy", strategy], code: 65, says: "NaN",
      "may be damaged")
  }

  @Test func openBLASIsLoadedOnlyWhenAskedForAndMayBeMissing() throws {
    let needed = try Tool.run([], through: ["env", "LD_TRACE_LOADED_OBJECTS=1"])
    #expect(needed.out.contains("libhwloc"))
    #expect(!needed.out.contains("blas"))

    // What the loader finds first under these names is no library.
    let folder = try TemporaryFolder()
    for name in ["libopenblas.so.0", "libopenblas.so"] { _ = try folder.file(name) }
    let without = ["LD_LIBRARY_PATH": folder.url.path]
    try expect(
      ["run", "x", "--numeric", "openblas"], code: 69, says: "libopenblas.so.0", "install",
      environment: without)
    let listed = try Tool.run(["kernels", "--all", "--filter", "openblas"], environment: without)
    #expect(listed.out.contains("needs libopenblas.so.0"))
    #expect(try Tool.run(["run", "calc 17 +4?"], environment: without).code == 0)
  }

  /// AVX-512 is the highest level without AMX, so that the class is missing on every machine.
  @Test func amxIsRefusedWhereItIsMissing() throws {
    try expect(
      ["run", "x", "--numeric", "bf16-amx"], code: 69, says: "AMX", "bf16-dot",
      environment: ["MARTLET_ISA": "avx512"])
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
