import MartletScaling
import MartletSimulation
import Testing

/// Goes on for ever with `a ` and `b `, and ends after `c `.
private let letters: ScriptedWorld = {
  // swift-format-ignore: NeverUseForceTry
  try! ScriptedWorld(
    script: """
      prompt "go"
      start: "a " 0.5 -> start, "b " 0.4 -> start, "c " 0.1 -> done
      done: reward 1
      """)
}()

private func run(
  _ strategy: String, _ options: [String], seed: UInt64 = 1
) async throws -> RunResult {
  let (session, engine) = try makeSession(letters)
  var request = try request(letters.prompt, strategy, options, seed: seed, maxTokens: 40)
  request.judge = { text in -Double(text.text.count { $0 == "b" }) }
  let result = try await session.run(request)
  #expect(engine.pagesInUse == 0)
  return result
}

@Suite("Programs and pipelines that users write")
struct MethodLanguageTests {
  @Test(
    "a mistake in a program is named with its line",
    arguments: [
      ("frok 3", "line 1: unknown-statement: 'frok'"),
      ("fork 2\\nstep untill \"x\"", "line 2: unknown-word"),
      ("fork", "line 1: missing-number"), ("fork two", "line 1: missing-number: 'two'"),
      ("fork 2.5", "line 1: missing-number"), ("keep 0", "line 1: number-out-of-range"),
      ("# first\\n\\nappend hello", "line 3: missing-text"),
      ("fork 2\\nappend \"hello", "line 2: open-text"),
      ("repeat 2\\nstep\\nfork 2", "line 1: open-block"), ("step\\nend", "line 2: stray-end"),
      ("while agreement; step; end", "line 1: unknown-word"),
      ("while agreement below 3; step; end", "line 1: number-out-of-range"),
      ("answer worst", "line 1: unknown-word"), ("require \"x\"", "line 1: unknown-word"),
      ("score temperature 0", "line 1: number-out-of-range"),
      ("\"x\"", "line 1: unknown-statement"),
      ("finish now", "line 1: unknown-word"), ("# nothing", "line 1: empty-program"),
      (String(repeating: "if unfinished; ", count: 20), "line 1: too-deep"),
      (String(repeating: "fork 1; ", count: 3000), "line 1: too-long"),
    ])
  func programErrors(program: String, expected: String) async {
    let error = await #expect(throws: ScalingError.self) {
      _ = try await run("inference-program", ["program=\(program)"])
    }
    #expect(error?.message.contains("program, \(expected)") == true, "\(String(describing: error))")
  }

  @Test("a program steps, conditions, resamples and answers as it says")
  func programs() async throws {
    // Without b, since texts with one lose their weight at every step.
    let strict =
      "fork 16; repeat 12; step tokens 1; require lacks \"b\"; resample; end; answer draw"
    let plain = "fork 16; repeat 12; step tokens 1; end; answer draw"
    var (kept, mixed) = (0, 0)
    for seed in UInt64(1)...10 {
      let one = try await run("inference-program", ["program=\(strict)"], seed: seed)
      if !one.text.contains("b") { kept += 1 }
      let other = try await run("inference-program", ["program=\(plain)"], seed: seed)
      if !other.text.contains("b") { mixed += 1 }
    }
    #expect(kept == 10)
    #expect(mixed < 5)
  }

  @Test("keep and fork make a beam, and the best is the answer")
  func beams() async throws {
    let beam =
      "fork 6; while unfinished; step tokens 1; score; keep 2; fork 3; end; score; answer best"
    let result = try await run("inference-program", ["program=\(beam)"])
    #expect(!result.text.contains("b"))
    #expect(result.candidates.count <= 6)
  }

  @Test("a program ends, whatever it says")
  func bounded() async throws {
    let result = try await run(
      "inference-program", ["program=fork 2; while unfinished; end", "operations=50"])
    #expect(result.stoppedBecause == .finished)
    let nested = "repeat 100000; repeat 100000; if unfinished; end; end; end; finish"
    _ = try await run("inference-program", ["program=\(nested)", "operations=1000"])
  }

  @Test("a program that the model writes is run, and one that cannot be read goes back to it")
  func planned() async throws {
    let world = ClosureWorld(codec: ByteCodec()) { tokens in
      let text = String(decoding: tokens.filter { $0 < 256 }.map { UInt8($0) }, as: UTF8.self)
      let cut = text.lastIndex { $0 == "|" || $0 == "?" }.map { text.index(after: $0) }
      let (told, written) = (text[..<(cut ?? text.startIndex)], text[(cut ?? text.startIndex)...])
      let reply =
        !told.hasPrefix("plan") ? "#7" : told.contains("unknown-statement") ? "fork 3" : "frok 3"
      var row = [Float](repeating: -.infinity, count: 258)
      row[written.count < reply.count ? Int(Array(reply.utf8)[written.utf8.count]) : 256] = 0
      return row
    }
    let (session, engine) = try makeSession(world)
    let options = ["plan=plan {error}|", "program=fork 1; finish"]
    var result = try await session.run(
      request("2+5?", "inference-program", options + ["plan_tries=1"]))
    #expect(result.candidates.count == 1)
    result = try await session.run(request("2+5?", "inference-program", options))
    // Nobody said to go on, so three empty branches are all there is.
    #expect(result.candidates.count == 3)
    #expect(engine.pagesInUse == 0)
  }

  @Test(
    "a mistake in a pipeline is named with its layer and field",
    arguments: [
      ("{", "is not JSON"), ("[]", "no list 'layers'"), ("{\"layers\": []}", "no layer"),
      ("{\"layers\": [1]}", "layer 1 is not an object"),
      ("{\"layers\": [], \"name\": \"x\"}", "field 'name'"),
      ("{\"layers\": [{\"n\": 2}]}", "layer 1 (without a type), field 'type'"),
      ("{\"layers\": [{\"type\": \"voter\"}]}", "layer 1 (voter): the first"),
      ("{\"layers\": [{\"type\": \"generator\", \"n\": 0}]}", "layer 1 (generator), field 'n'"),
      ("{\"layers\": [{\"type\": \"generator\", \"n\": \"2\"}]}", "layer 1 (generator), field 'n'"),
      ("{\"layers\": [{\"type\": \"generator\", \"m\": 2}]}", "layer 1 (generator), field 'm'"),
      (
        "{\"layers\": [{\"type\": \"generator\", \"of\": [{\"n\": 1}, {\"n\": 1.5}]}]}",
        "layer 1 (generator), number 2 of 'of', field 'n'"
      ),
      (
        "{\"layers\": [{\"type\": \"generator\", \"strategy\": \"pipeline\"}]}",
        "layer 1 (generator), field 'strategy'"
      ),
      (
        "{\"layers\": [{\"type\": \"generator\"}, {\"type\": \"ranker\", \"keep\": true}]}",
        "layer 2 (ranker), field 'keep'"
      ),
      (
        "{\"layers\": [{\"type\": \"generator\"}, {\"type\": \"verifier\", \"at_least\": 2}]}",
        "layer 2 (verifier), field 'at_least'"
      ),
      (
        "{\"layers\": [{\"type\": \"generator\", \"strategy\": \"no-such\"}]}",
        "layer 1 (generator): "
      ),
      (
        "{\"layers\": [{\"type\": \"generator\", \"strategy\": \"best-of-n\", \"options\": {\"n\": 0}}]}",
        "layer 1 (generator): "
      ),
    ])
  func pipelineErrors(pipeline: String, expected: String) async {
    let error = await #expect(throws: ScalingError.self) {
      _ = try await run("pipeline", ["pipeline=\(pipeline)"])
    }
    #expect(error?.message.contains(expected) == true, "\(String(describing: error))")
  }

  @Test("a pipeline's strategy runs on its part, and a ranker keeps the best")
  func pipelines() async throws {
    let pipeline = """
      {"layers": [{"type": "generator", "of": [{"n": 4, "sampling": "+temperature=0.5"},
      {"strategy": "beam-search", "options": {"width": 2, "expand": 2, "step": " "}, "tokens": 30}]},
      {"type": "ranker", "keep": 1}]}
      """
    let result = try await run("pipeline", ["pipeline=\(pipeline)"])
    #expect(result.candidates.count > 4)
    #expect(result.usage.generatedTokens <= 4 * 40 + 30)
    let best = try #require(result.candidates.compactMap(\.score).max())
    #expect(result.candidates[try #require(result.answerCandidate)].score == best)
  }
}
