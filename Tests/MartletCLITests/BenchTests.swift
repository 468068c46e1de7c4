import Foundation
import Testing

/// `martlet bench` on the embedded model: what it prints, and what it refuses.
@Suite(.serialized) struct BenchTests {
  private func rows(_ arguments: [String]) throws -> [[String: Any]] {
    let output = try Tool.run(["bench"] + arguments + ["-o", "json"])
    #expect(output.code == 0, "\(output.error)")
    let object = try output.object()
    #expect(Set(object.keys) == ["schema", "context", "rows"])
    #expect(object["schema"] as? Int == 1)
    let context = try #require(object["context"] as? [String: Any])
    for key in ["bench", "version", "date", "cpu", "isa", "threads", "placement", "host_load"] {
      #expect(context[key] != nil, "context has no \(key)")
    }
    return try #require(object["rows"] as? [[String: Any]])
  }

  private func expectPositive(_ row: [String: Any], _ keys: [String]) {
    for key in keys {
      #expect((row[key] as? Double ?? 0) > 0, "\(key) is \(String(describing: row[key]))")
    }
  }

  @Test func model() throws {
    let rows = try rows([
      "model", "--width", "2,4", "--prompt", "16", "--shared-prefix", "0,32", "--generate", "4",
      "--repetitions", "2", "--phases",
    ])
    #expect(rows.map { $0["width"] as? Int } == [2, 4, 2, 4])
    #expect(rows.map { $0["shared_prefix"] as? Int } == [0, 0, 32, 32])
    for row in rows {
      expectPositive(
        row,
        [
          "prefill_tokens_per_s", "decode_tokens_per_s", "width_cost", "fraction_of_limit",
          "median_ns", "min_ns", "bytes", "operations", "limit_ns",
        ])
      #expect((row["samples_ns"] as? [Double])?.count == 2)
      let phases = try #require(row["phases"] as? [String: Double])
      let inPhases = phases.values.reduce(0, +)
      let samples = try #require(row["samples_ns"] as? [Double])
      let mean = samples.reduce(0, +) / Double(samples.count)
      #expect(abs(inPhases - mean) < 0.01 * mean + 20, "phases add up to \(inPhases) of \(mean)")
    }
    // The prefix's keys and values count, once.
    let (alone, prefixed) = (rows[0], rows[2])
    let difference = (prefixed["bytes"] as? Double ?? 0) - (alone["bytes"] as? Double ?? 0)
    #expect(difference > 0)
    #expect(difference == (rows[3]["bytes"] as? Double ?? 0) - (rows[1]["bytes"] as? Double ?? 0))
  }

  @Test func team() throws {
    let rows = try rows([
      "team", "--members", "1,3", "--prompt", "40", "--each", "12", "--generate", "2",
      "--repetitions", "2", "--layout", "combined",
    ])
    #expect(rows.map { $0["members"] as? Int } == [1, 3])
    for row in rows {
      expectPositive(row, ["tokens_per_s", "plain_tokens_per_s", "cost", "median_ns", "min_ns"])
      #expect((row["samples_ns"] as? [Double])?.count == 2)
    }
    let refused = try Tool.run(["bench", "team", "--layout", "tiled"])
    #expect(refused.code != 0 && refused.error.contains("no layout 'tiled'"))
  }

  /// Greedy texts of 500 prompts are the same with guesses; the benchmark itself refuses others.
  @Test func speculate() throws {
    let rows = try rows([
      "speculate", "--draft", "off,auto", "--live", "1", "--samples", "1", "--block", "250",
      "--repetitions", "1", "--sampling", "temperature=0",
    ])
    #expect(rows.map { $0["draft"] as? String } == ["off", "auto"])
    for row in rows { expectPositive(row, ["tokens_per_s", "speedup", "median_ns"]) }
    #expect(rows[0]["drafted_tokens"] as? Int == 0)
    #expect(rows[0]["tokens"] as? Int == rows[1]["tokens"] as? Int)
    // Whether guessing pays on a machine as busy as one that tests is not certain; what it does is.
    let drafted = try #require(rows[1]["drafted_tokens"] as? Int)
    let accepted = try #require(rows[1]["accepted_tokens"] as? Int)
    let forwards = (rows[1]["forwards"] as? Int ?? .max, rows[0]["forwards"] as? Int ?? 0)
    #expect(
      accepted <= drafted && (accepted > 0 ? forwards.0 < forwards.1 : forwards.0 <= forwards.1))
    if drafted > 200 { #expect(accepted > 0, "nothing was guessed right") }
  }

  /// Every way of attending decodes at a length where the index searches.
  @Test func context() throws {
    let rows = try rows([
      "context", "--positions", "8224", "--methods", "exact,retrieve=0.5,window=64", "--generate",
      "2", "--repetitions", "2", "--threads", "1",
    ])
    #expect(
      rows.map { $0["attention"] as? String } == ["exact", "retrieve=0.5", "window=64"])
    for row in rows { expectPositive(row, ["tokens_per_s", "speedup", "median_ns", "kv_bytes"]) }
    expectPositive(rows[1], ["index_bytes", "build_seconds"])
    #expect(rows[0]["index_bytes"] as? Int == 0)
    #expect(rows[1]["output_error"] as? Double ?? 1 <= 0.5)
  }

  /// Ways that leave positions out for good, a dropped span and memory taken by one way at a time.
  @Test func contextPruning() throws {
    let rows = try rows([
      "context", "--positions", "1056", "--methods", "exact,h2o=128,critic=0.25,lazyllm=0.5",
      "--dropped", "0.75,again=0.75", "--prefill", "--apart", "--generate", "2", "--repetitions",
      "2",
      "--threads", "1",
    ])
    #expect(
      rows.map { $0["attention"] as? String } == [
        "exact", "h2o=128", "critic=0.25", "lazyllm=0.5", "dropped=0.75", "dropped, again=0.75",
      ])
    for row in rows {
      expectPositive(row, ["tokens_per_s", "speedup", "median_ns", "kv_bytes", "prefill_seconds"])
      expectPositive(row, ["first_ms", "stated_bytes"])
    }
    for row in rows[1...3] { expectPositive(row, ["index_bytes"]) }
    for row in rows[1...2] { expectPositive(row, ["output_error"]) }
    for row in rows[4...5] {
      expectPositive(row, ["drop_seconds"])
      #expect((row["kv_bytes"] as? Int ?? 0) * 4 < (rows[0]["kv_bytes"] as? Int ?? 0) * 2)
    }
  }

  @Test func contextRefusals() throws {
    for (arguments, mention) in [
      (["--dropped", "2"], "'2'"), (["--dropped", "0.99", "--positions", "1024"], "last 128"),
      (["--methods", "retrieve=2"], "retrieve=2"), (["--methods", "nothing"], "nothing"),
      (["--positions", "12"], "positions"),
    ] {
      let output = try Tool.run(["bench", "context"] + arguments)
      #expect(output.code != 0 && output.error.contains(mention), "\(output.error)")
    }
  }

  @Test func speculateRefusals() throws {
    for (arguments, mention) in [
      (["--draft", "siblings+x"], "'x' is unknown"), (["--live", "0"], "live"),
      (["--suite", "no-such-file"], "no-such-file"),
    ] {
      let output = try Tool.run(["bench", "speculate"] + arguments)
      #expect(output.code != 0 && output.error.contains(mention), "\(output.error)")
    }
  }

  /// The prefix's bytes are those of pages: int8 and 4-bit ones hold less, and their scales.
  @Test func storedTypesCountAsTheyAreStored() throws {
    var bytes: [String: Double] = [:]
    for type in ["f32", "f16", "int8", "int4"] {
      let rows = try rows([
        "model", "--kv-type", type, "--width", "1", "--prompt", "8", "--shared-prefix", "0,32",
        "--generate", "2", "--repetitions", "1", "--threads", "1",
      ])
      let (alone, prefixed) = (rows[0]["bytes"] as? Double, rows[1]["bytes"] as? Double)
      bytes[type] = try #require(prefixed) - #require(alone)
      #expect((rows[0]["command"] as? String ?? "").contains("--kv-type \(type)"))
    }
    let half = try #require(bytes["f16"])
    #expect(bytes["f32"] == 2 * half)
    #expect((0.5...0.75).contains((bytes["int8"] ?? 0) / half), "\(bytes)")
    #expect((0.25...0.5).contains((bytes["int4"] ?? 0) / half), "\(bytes)")
  }

  @Test func theReproducingCommandRuns() throws {
    let first = try rows([
      "model", "--width", "2", "--prompt", "8", "--generate", "2", "--repetitions", "1",
    ])
    let command = try #require(first[0]["command"] as? String)
    let words = command.split(separator: " ").map(String.init)
    #expect(words.prefix(2) == ["martlet", "bench"])
    let again = try rows(Array(words.dropFirst(2)))
    for key in ["width", "prompt", "shared_prefix", "generate"] {
      #expect(again[0][key] as? Int == first[0][key] as? Int)
    }
  }

  @Test func gemmAttentionAndMachine() throws {
    let gemm = try rows([
      "gemm", "--type", "q8_0,bf16", "--rows", "1,2", "--shape", "32x256", "--threads", "1",
      "--cache", "warm", "--repetitions", "1",
    ])
    #expect(gemm.count == 4)
    for row in gemm { expectPositive(row, ["median_ns", "min_ns", "bytes", "operations"]) }
    #expect(gemm.allSatisfy { $0["variant"] is String && $0["threads"] as? Int == 1 })
    let attention = try rows([
      "attention", "--kv-heads", "1", "--group", "2", "--positions", "64", "--branches", "2",
      "--repetitions", "1",
    ])
    #expect(attention.count == 1)
    let machine = try rows(["machine", "--megabytes", "8", "--rounds", "1", "--threads", "1"])
    #expect(machine.map { $0["limit"] as? String } == ["read", "fma-f32", "dot-bf16", "dot-int8"])
  }

  @Test func openingIsMeasuredInProcessesOfTheirOwn() throws {
    let row = try #require(try rows(["open", "--repetitions", "2"]).first)
    expectPositive(
      row,
      [
        "map_ns", "pack_ns", "first_forward_ns", "median_ns", "peak_rss_bytes", "file_bytes",
        "peak_over_file",
      ])
    #expect((row["samples_ns"] as? [Double])?.count == 2)
    #expect(row["pack_cache"] as? String == "off")
  }

  /// Openings that packed and openings that mapped are different things.
  @Test func packedAndMappedOpeningsAreRowsOfTheirOwn() throws {
    let folder = try TemporaryFolder()
    let model = folder.url.appendingPathComponent("random.gguf")
    _ = try RandomModel(layers: 1, vocabulary: 1024).write(to: model)
    let cache = folder.url.appendingPathComponent("cache").path
    let rows = try rows([
      "open", "--model", model.path, "--pack-cache", cache, "--no-tuning", "--page-cache", "cold",
      "--repetitions", "3",
    ])
    #expect(rows.map { $0["pack_cache"] as? String } == ["miss", "hit"])
    #expect(rows.map { ($0["samples_ns"] as? [Double])?.count } == [1, 2])
    for row in rows { expectPositive(row, ["map_ns", "pack_ns", "look_up_ns", "median_ns"]) }
    #expect(rows.map { ($0["write_ns"] as? Double ?? -1) > 0 } == [true, false])
    #expect(rows.allSatisfy { $0["tuning_ns"] as? Double == 0 })
  }

  @Test func contentionReportsBothBarriers() throws {
    let rows = try rows([
      "contention", "--width", "1", "--prompt", "8", "--generate", "8", "--repetitions", "1",
    ])
    #expect(rows.map { $0["barrier"] as? String } == ["park", "spin"])
    for row in rows {
      expectPositive(row, ["quiet_tokens_per_s", "contended_tokens_per_s", "ratio"])
    }
  }

  @Test func otherFormats() throws {
    let arguments = [
      "bench", "attention", "--kv-heads", "1", "--group", "1", "--positions", "8,16",
      "--branches", "1", "--repetitions", "1", "-o",
    ]
    let csv = try Tool.run(arguments + ["csv"])
    let lines = csv.out.split(separator: "\n")
    #expect(lines.count == 3 && lines[0].contains("median_ns"), "\(csv.out)")
    let markdown = try Tool.run(arguments + ["md"]).out.split(separator: "\n")
    #expect(markdown.count == 4 && markdown.allSatisfy { $0.hasPrefix("| ") })
    let table = try Tool.run(arguments + ["table"]).out.split(separator: "\n")
    #expect(table.count == 3 && !table[0].contains("|"))
  }

  @Test(arguments: [
    (["model", "--width", "0"], "width 0"),
    (["model", "--width", "1,x"], "--width"),
    (["model", "--prompt", "300"], "context holds 256"),
    (["model", "--generate", "0"], "generate 0"),
    (["model", "--shared-prefix=-1"], "shared prefix -1"),
    (["gemm", "--type", "q3"], "q3"),
    (["gemm", "--shape", "16by16"], "OUTPUTSxDEPTH"),
    (["gemm", "--type", "q4_k", "--shape", "16x32"], "256"),
    (["gemm", "--threads", "some"], "some"),
    (["gemm", "--cache", "tepid"], "warm, cold"),
    (["attention", "--kv-type", "f8"], "f16"),
    (["attention", "--positions", "0"], "positions 0"),
    (["contention", "--barrier", "mutex"], "park, spin"),
    (["open", "--repetitions", "0"], "repetitions 0"),
    (["machine", "--megabytes", "0"], "memory bytes 0"),
    (["machine", "-o", "xml"], "xml"),
  ])
  func refusals(arguments: [String], says part: String) throws {
    let output = try Tool.run(["bench"] + arguments)
    #expect(output.code == 64, "\(output.error)")
    #expect(output.error.contains(part), "'\(part)' is not in: \(output.error)")
    #expect(output.out.isEmpty)
  }

  @Test func aModelThatIsNotThere() throws {
    for bench in ["model", "open", "contention"] {
      let output = try Tool.run(["bench", bench, "--model", "/nowhere/missing.gguf"])
      #expect(output.code == 66, "\(bench): \(output.error)")
      #expect(output.error.contains("missing.gguf"))
    }
  }
}
