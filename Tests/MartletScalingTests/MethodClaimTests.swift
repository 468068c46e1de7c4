import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// Verdicts that are read at once.
private let verdicts = ["verify=V {answer}|", "verdict=", "yes=Y", "no=N", "verify_tokens=0"]

private func verdict(_ told: String) -> [(String, Double)] {
  told.contains("#5") ? [("Y", 0.8), ("N", 0.2)] : [("Y", 0.3), ("N", 0.7)]
}

@Suite("What the methods claim")
struct MethodClaimTests {
  // MARK: Verification

  @Test("a verifier that is right more often than not finds what the vote misses")
  func verification() async throws {
    let world = Replies { told in
      told.hasPrefix("V ")
        ? verdict(told) : told.hasPrefix("R ") ? [("#5", 1)] : unsure
    }
    let vote = try await rightOfTen(world, "2+3?", "self-consistency", ["n=9"])
    #expect(vote <= 5)
    let split = try await rightOfTen(world, "2+3?", "solve-verify", ["n=9"] + verdicts)
    #expect(split >= 9)
    let critique = try await rightOfTen(
      world, "2+3?", "critique", ["n=3", "rewrite=R |"] + verdicts)
    #expect(critique == 10)
    let pipeline = """
      pipeline={"layers": [{"type": "generator", "n": 9}, {"type": "verifier", "instruction": "V {answer}|",
      "verdict": "", "yes": "Y", "no": "N", "tokens": 0}, {"type": "voter"}]}
      """
    #expect(try await rightOfTen(world, "2+3?", "pipeline", [pipeline]) >= 9)
  }

  @Test("verdicts that begin alike are told apart where they differ")
  func labels() async throws {
    let world = Replies { told in
      guard told.hasPrefix("V ") else { return unsure }
      return told.contains("#5") ? [(" Yes", 0.8), (" No", 0.2)] : [(" Yes", 0.3), (" No", 0.7)]
    }
    let options = ["n=4", "verifications=1", "verify=V {answer}|", "verdict=", "verify_tokens=0"]
    let result = try await runReplies(world, "2+3?", "solve-verify", options)
    for candidate in result.candidates {
      let expected = candidate.answer == "5" ? 0.8 : 0.3
      #expect(abs(try #require(candidate.score) - expected) < 1e-6)
    }
    // One that begins with the other cannot be: the vote stands, and the run says why.
    let (session, _) = try makeSession(world)
    let failed = try await session.run(
      request("2+3?", "solve-verify", options + ["yes= No", "no= None"]))
    #expect(failed.failure?.contains("' No' is empty or begins") == true)
    #expect(failed.text.hasPrefix("#"))
  }

  @Test("generations are divided as the paper found best")
  func split() async throws {
    let world = Replies { $0.hasPrefix("V ") ? verdict($0) : unsure }
    for (calls, solutions) in [(1, 1), (2, 1), (24, 7), (96, 15), (384, 34)] {
      let result = try await runReplies(
        world, "2+3?", "solve-verify", ["calls=\(calls)"] + verdicts)
      #expect(result.candidates.count == solutions, "\(calls)")
    }
  }

  @Test("answers that verdicts do not tell apart are compared, in either order")
  func comparisons() async throws {
    let world = Replies { told in
      if told.hasPrefix("V ") { return [("Y", 0.5), ("N", 0.5)] }
      guard told.hasPrefix("C ") else { return unsure }
      // It favours the place A, but the right answer more.
      return told.hasPrefix("C #5") ? [("A", 0.9), ("B", 0.1)] : [("A", 0.45), ("B", 0.55)]
    }
    let options =
      ["n=9", "compare=C {a} {b}|", "choice=", "first=A", "second=B", "within=0"] + verdicts
    #expect(try await rightOfTen(world, "2+3?", "sample-scrutinize", options) >= 9)
  }

  @Test("a finished solution is noticed, and a wrong one is sent back with what was found")
  func solveDetectVerify() async throws {
    let ramble = String(repeating: " hm", count: 60)
    let world = Replies { told in
      if told.hasPrefix("V ") { return told.contains("#5") ? [("Y", 1)] : [("N", 1)] }
      if told.hasSuffix("done|") { return [("Y", 0.9), ("N", 0.1)] }
      if told.hasSuffix("again|") { return [("so #5\nWait" + ramble, 1)] }
      return [("so #6\nWait" + ramble, 1)]
    }
    let options =
      ["probe=done|", "finish=", "feedback=again|", "fast=2", "fast_tokens=0"] + verdicts
    let result = try await runReplies(world, "2+3?", "solve-detect-verify", options)
    #expect(result.answer == "5")
    let whole = try await runReplies(world, "2+3?", "sample")
    #expect(whole.answer == "6")
    // It stops where the solution is complete, and `finish_tokens` at most come after.
    #expect(result.usage.generatedTokens < 2 * (10 + 64) + 8)
    #expect(whole.usage.generatedTokens > 180)
  }

  @Test("of two answers the one is believed from which the question's numbers are found again")
  func forwardBackward() async throws {
    let world = Replies { told in
      guard let mark = told.range(of: "B") else { return unsure }
      guard told[mark.upperBound...].hasPrefix("5") else { return [("#1", 0.9), ("#3", 0.1)] }
      return told.hasPrefix("x") ? [("#3", 0.9), ("#4", 0.1)] : [("#20.5", 0.9), ("#1", 0.1)]
    }
    let options = ["n=9", "question={masked} B{answer}|"]
    #expect(try await rightOfTen(world, "03 and 20.50?", "forward-backward", options) >= 9)
    // Without numbers the vote stands.
    let vote = try await runReplies(world, "how many?", "self-consistency", ["n=9"], seed: 3)
    let same = try await runReplies(world, "how many?", "forward-backward", options, seed: 3)
    #expect(same.answer == vote.answer)
  }

  @Test("what a program comes to is believed before what a chain says alone")
  func programs() async throws {
    let world = Replies { $0.hasPrefix("P") ? [("a = 3\nanswer = a + 2 # done", 1)] : unsure }
    #expect(
      try await rightOfTen(world, "2+3?", "chain-and-program", ["n=6", "programs=8", "program=P|"])
        >= 9)
  }

  @Test(
    "programs are evaluated within bounds",
    arguments: [
      ("answer = 2 + 3 * 4", "14"), ("x = 7; answer = (x - 1) / 4", "1.5"), ("-2 ** 2", "-4"),
      ("2 ** 3 ** 2", "512"), ("answer = 7 // 2 + 7 % 4 - -1", "7"), ("-7 // 2", "-4"),
      ("-7 % 4", "1"), ("```python\nprint(max(3, min(9, 5)))\n```", "5"), ("0.1 + 0.2", "0.3"),
      ("a_1 = 1_000\nanswer = a_1\na_1 * 2", "1000"), ("sqrt(2)", "1.41421356237"),
      ("round(2.5) + floor(2.9) + ceil(0.1) + abs(-1) + int(-1.5)", "5"),
      // What is no program, and what would not end or be finite.
      ("import os", nil), ("answer = b", nil), ("1 / 0", nil), ("9 ** 9 ** 9", nil), ("1 +", nil),
      ("answer == 3", nil), ("open(1)", nil), ("(1", nil), ("1..2", nil), ("sqrt(-1)", nil),
      ("1 2", nil), ("", nil), ("x = 1\nif x: 2", nil),
      ("answer = " + String(repeating: "(", count: 100) + "1", nil),
      (String(repeating: "-", count: 200) + "1", nil),
      (String(repeating: "1+", count: 1001) + "1", nil),
      (String(repeating: "1\n", count: 9000), nil),
    ] as [(String, String?)])
  func arithmetic(program: String, value: String?) async throws {
    let step = program.isEmpty ? .end(1) : ScriptedWorld.Transition(program, 1, to: "end")
    let world = try ScriptedWorld(
      prompt: "2+3?", start: "start", states: ["start": .init([step]), "end": .init()])
    let (session, _) = try makeSession(world)
    let request = try request(
      world.prompt, "chain-and-program", ["n=1", "programs=1", "program={prompt}"])
    let result = try await session.run(request)
    let found = result.candidates.count == 2 ? result.candidates[1].text : nil
    #expect(found?.split(separator: "\n").last.map(String.init) == value.map { "#### \($0)" })
  }

  // MARK: Going on

  @Test("chains are made to doubt what they had found")
  func iterativeDeepening() async throws {
    let world = Replies { told in
      told.hasSuffix("wait|wait|")
        ? [(" #5", 1)] : told.hasSuffix("wait|") ? [("", 1)] : [("#6", 1)]
    }
    let result = try await runReplies(
      world, "2+3?", "iterative-deepening", ["n=2", "rounds=2", "first=8", "trigger=wait|"])
    #expect(result.answer == "5")
    let none = try await runReplies(world, "2+3?", "iterative-deepening", ["n=2", "rounds=0"])
    #expect(none.answer == "6")
  }

  @Test("a note changes what comes after it, and lines after it know it")
  func associations() async throws {
    let world = Replies { told in
      if told.hasPrefix("N") { return told.contains("carry") ? [("NONE", 1)] : [("carry", 1)] }
      return told.contains("carry") ? [("#5", 1)] : [("so\n", 0.5), ("well\n", 0.5)]
    }
    let result = try await runReplies(
      world, "2+3?", "associated-thoughts",
      [
        "step=\\n", "simulations=6", "expand=2", "batch=1", "associate=N {text} {memory}|",
        "note={note}|", "note_tokens=8",
      ], judge: { $0.contains("carry") ? 0.8 : 0.4 })
    #expect(result.answer == "5")
    // The memory held the note, so that it was not made twice.
    let texts = result.candidates.map(\.text)
    #expect(texts.allSatisfy { $0.components(separatedBy: "carry").count <= 2 })
  }

  @Test("the parts of work are worked on side by side and joined", arguments: ["fork", "fresh"])
  func spawnJoin(child: String) async throws {
    let world = Replies { told in
      if told.hasSuffix("do a|") { return [("<spawn>c&&d</spawn>", 1)] }
      if told.hasSuffix("do b|") { return [("found 2<join> more", 1)] }
      if told.hasSuffix("do c|") { return [("3", 1)] }
      if told.hasSuffix("do d|") { return [("4", 1)] }
      if told.hasSuffix("got 3&&4|") { return [("7", 1)] }
      if told.hasSuffix("&&found 2|") { return [(" so #9", 1)] }
      return [("split <spawn>a&&b</spawn>", 1)]
    }
    let options = ["task=do {task}|", "results=got {results}|", "child=\(child)", "separator=&&"]
    let trace = TraceRecorder()
    let result = try await runReplies(world, "go?", "spawn-join", options, trace: trace)
    #expect(result.answer == "9")
    let workers = try #require(try traceEvents(trace).first { $0["name"] as? String == "workers" })
    #expect((workers["args"] as? [String: Any])?["children"] as? Int == 4)
    // At depth 1 a child's wish is text like any other.
    let flat = try await runReplies(world, "go?", "spawn-join", options + ["depth=1"])
    #expect(flat.text.contains("<spawn>c&&d</spawn>"))
  }

  // MARK: Prompts

  @Test("questions share one prompt, and one that got no answer is asked alone")
  func batchPrompting() async throws {
    let world = Replies { told in
      if told.hasSuffix("Q[1]: 1+1?\nQ[2]: 2+2?|") { return [("A[1]: two A[2]: four", 1)] }
      if told.hasSuffix("Q[1]: 3+3?\nQ[2]: 4+4?|") { return [("A[1]: six", 1)] }
      return told == "4+4?" ? [("eight", 1)] : [("?", 1)]
    }
    let before = "before=" + String(repeating: "Answer every question. ", count: 10)
    let prompt = "1+1?\n---\n2+2?\n---\n3+3?\n---\n4+4?"
    let result = try await runReplies(
      world, prompt, "batch-prompting", ["size=2", "after=|", before])
    #expect(result.text == "A[1]: two\nA[2]: four\nA[3]: six\nA[4]: eight")
    let alone = try await runReplies(
      world, prompt, "batch-prompting", ["size=1", "after=|", before])
    #expect(result.usage.promptTokens * 3 < alone.usage.promptTokens * 2)
  }

  @Test("what was thought about a context before serves every question on it")
  func sleepTime() async throws {
    let slow = String(repeating: "let me see ", count: 20)
    let world = Replies { told in
      if told.hasSuffix("sleep|") { return [("the sum is nine", 1)] }
      let thought = told.contains("the sum is nine") ? "" : slow
      return [(thought + (told.hasSuffix("sum?") ? "#9" : "#3"), 1)]
    }
    let prompt = "4 and 5\n---\nsum?\n---\nmean?\n---\nsum?"
    let options = ["prepare={context} sleep|", "wake={context} {thought} "]
    let slept = try await runReplies(world, prompt, "sleep-time", options)
    #expect(slept.text == "A[1]: #9\nA[2]: #3\nA[3]: #9")
    let awake = try await runReplies(world, prompt, "sleep-time", options + ["sleeps=0"])
    #expect(awake.text.hasSuffix("#9"))
    #expect(slept.usage.generatedTokens * 5 < awake.usage.generatedTokens)
  }

  @Test("recipes that lead to right answers are found and kept")
  func reprompting() async throws {
    let world = Replies { told in
      let shown = told.components(separatedBy: "carefully").count - 1
      let chance = shown == 0 ? 0.3 : 0.95
      return [("carefully #5", chance), ("quickly #6", 1 - chance)]
    }
    let options = [
      "n=5", "example={question}{recipe} ", "ask={question}", "problems=1+4?=>5|4+1?=>5|5+0?=>5",
    ]
    let found = try await rightOfTen(world, "2+3?", "reprompting", options)
    let without = try await rightOfTen(world, "2+3?", "reprompting", ["n=5", "ask={question}"])
    #expect(found >= 9)
    #expect(without <= 5)
    let error = await #expect(throws: ScalingError.self) {
      _ = try await runReplies(world, "2+3?", "reprompting", ["problems=1+1=>2|what"])
    }
    #expect(error?.message.contains("number 2: 'what'") == true, "\(String(describing: error))")
  }

  // MARK: Allocation

  @Test("samples go where they raise the chance of a right one the most")
  func allocation() async throws {
    let world = Replies { $0.hasSuffix("a?") ? [("#5", 1)] : [("#6", 1)] }
    let ways = "configurations=prompt={prompt} a?|temperature=0.5,prompt={prompt} b?"
    for (rates, expected) in [
      ("", 4), ("1,0;0,1", 4), ("0.9,0.1", 8), ("0.5,0;0.5,0;0,0.5", 5), ("0,0", 4),
    ] {
      let result = try await runReplies(
        world, "2+3?", "sample-allocation", ["n=8", ways, "rates=\(rates)", "answer=vote"])
      #expect(result.candidates.count { $0.answer == "5" } == expected, "\(rates)")
    }
    for (option, part) in [("rates=0.1,2", "'2'"), ("rates=0.1", "row 1 has 1")] {
      let error = await #expect(throws: ScalingError.self) {
        _ = try await runReplies(world, "2+3?", "sample-allocation", [ways, option])
      }
      #expect(error?.message.contains(part) == true, "\(String(describing: error))")
    }
  }

  @Test("micro-batches by predicted length change no text and hold fewer keys and values")
  func lengths() async throws {
    let (short, long) = (String(repeating: "x", count: 40), String(repeating: "y", count: 400))
    let world = Replies { told in
      guard told.hasSuffix("left|") else {
        return [("a" + short + "#5", 0.7), ("b" + long + "#6", 0.3)]
      }
      return told.contains("?a")
        ? [("40", 1)] : told.contains("?b") ? [("about 400", 1)] : [("", 1)]
    }
    let whole = try await runReplies(world, "2+3?", "self-consistency", ["n=12"])
    let options = ["n=12", "batch=3", "look=4", "probe=left|", "probe_tokens=12"]
    let scheduled = try await runReplies(world, "2+3?", "length-scheduling", options)
    #expect(scheduled.candidates.map(\.text) == whole.candidates.map(\.text))
    #expect(scheduled.answer == whole.answer)
    #expect(scheduled.usage.peakKVBytes * 2 <= whole.usage.peakKVBytes)
  }

  @Test(
    "where answers agree the vote ends early",
    arguments: ["rule=stays", "rule=leads", "cancel=true"])
  func adaptive(option: String) async throws {
    let text = String(repeating: "thinking ", count: 10)
    let sure = Replies { _ in [(text + "#5", 0.95), (text + "#6", 0.05)] }
    // Many ways to either answer, so that no path has a probability that decides.
    let torn = Replies { _ in
      (0..<100).map { ("\($0): \(text)#\($0 % 2 == 0 ? 5 : 6)", 0.01) }
    }
    let options = ["n=32", option, "threshold=0.97"]
    var (short, long) = (0, 0)
    for seed in UInt64(1)...10 {
      let whole = try await runReplies(sure, "2+3?", "self-consistency", ["n=32"], seed: seed)
      let early = try await runReplies(sure, "2+3?", "adaptive-consistency", options, seed: seed)
      #expect(early.answer == whole.answer)
      short += early.candidates.count
      long += try await runReplies(torn, "2+3?", "adaptive-consistency", options, seed: seed)
        .candidates
        .count
    }
    #expect(short <= 10 * 12, "\(short)")
    #expect(long > 2 * short, "\(long)")
  }
}
