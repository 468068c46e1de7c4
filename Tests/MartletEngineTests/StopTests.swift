import MartletEngine
import MartletSimulation
import Testing

/// A world that says a fixed text, one word of its codec after another, and then ends.
private func recitation(_ pieces: [String]) -> (SimulatedBackend, [Int32]) {
  var list = ["?"]
  for piece in pieces where !list.contains(piece) { list.append(piece) }
  let codec = WordCodec(words: list)
  let script = pieces.map { codec.token($0)! } + [codec.end]
  let world = ClosureWorld(codec: codec) { tokens in
    var row = [Float](repeating: -20, count: codec.vocabularySize)
    row[Int(script[min(tokens.count - 1, script.count - 1)])] = 0
    return row
  }
  return (SimulatedBackend(world: world, contextLength: 64, pageTokens: 4), [0])
}

private func recite(
  _ pieces: [String], _ stops: StopRules, _ advance: Advance = .init()
) throws -> Branch {
  let (backend, prompt) = recitation(pieces)
  let engine = try Engine(backend: backend)
  let run = try engine.makeRun(prompt: prompt, sampling: .greedy, stops: stops)
  try run.advanceBlocking([run.root], advance)
  return run.root
}

@Suite("Stopping")
struct StopTests {
  @Test("the model ends the sequence; its end token is a token without text")
  func endOfSequence() throws {
    let branch = try recite(["one ", "two"], .init())
    #expect(branch.stop == .endOfSequence && branch.finished)
    #expect(branch.text == "one two")
    #expect(branch.tokens == [1, 2, 3])
    let on = try recite(["one ", "two"], .init(maxTokens: 5, stopAtEndOfGeneration: false))
    #expect(on.stop == .length && on.generatedTokens == 5 && on.text == "one two")
  }

  @Test("a stop token ends a branch without its text")
  func stopToken() throws {
    let branch = try recite(["a", "b", "c"], .init(stopTokens: [2]))
    #expect(branch.stop == .endOfSequence && branch.text == "a" && branch.generatedTokens == 2)
  }

  @Test(
    "stop strings across token boundaries, the earliest wins",
    arguments: [
      (["x", "ab", "cd", "ef"], ["bcd"], "xa", 3),
      (["x", "ab", "cd", "ef"], ["d", "bc"], "xa", 3),
      (["x", "ab", "cd", "ef"], ["cd", "bcd"], "xa", 3), (["xabcdef"], ["f", "c"], "xab", 1),
      (["a", "a", "a", "b"], ["aab"], "a", 4), (["é", "à"], ["à"], "é", 2),
      (["He", "llo", "\n", "\n", "x"], ["\n\n"], "Hello", 4), (["x"], ["xx"], "x", 2),
    ])
  func stopStrings(pieces: [String], stops: [String], text: String, count: Int) throws {
    let branch = try recite(pieces, .init(stopStrings: stops))
    #expect(branch.text == text)
    #expect(branch.generatedTokens == count)
    #expect(branch.stop == (stops == ["xx"] ? .endOfSequence : .stopString))
    #expect(branch.finished)
  }

  @Test("a delimiter counts in new text only and stays in the text")
  func delimiter() throws {
    let (backend, prompt) = recitation(["a", ". ", "b", ". ", "c."])
    let engine = try Engine(backend: backend)
    let run = try engine.makeRun(prompt: prompt, sampling: .greedy)
    var texts: [String] = []
    while !run.root.finished {
      try run.advanceBlocking([run.root], Advance(delimiter: ". "))
      texts.append(run.root.text)
    }
    #expect(texts == ["a. ", "a. b. ", "a. b. c."])
    #expect(run.root.stop == .endOfSequence)
    try run.root.truncate(toGenerated: 1)
    #expect(run.root.text == "a" && !run.root.finished)
    try run.advanceBlocking([run.root], Advance(maxTokens: 2, delimiter: "b."))
    #expect(run.root.text == "a. b" && run.root.stop == .tokens)
  }

  @Test("maximum tokens per branch and per advance")
  func lengths() throws {
    let branch = try recite(["a", "b", "c", "d"], .init(maxTokens: 2), Advance(maxTokens: 2))
    #expect(branch.stop == .length && branch.text == "ab")
    #expect(try recite(["a", "b"], .init(), Advance(maxTokens: 0)).stop == .tokens)
    #expect(try recite(["a", "b"], .init(maxTokens: 0)).stop == .length)
  }

  @Test("the context is an error for the prompt and a stop for a branch, never a wrap")
  func context() throws {
    let backend = hashedBackend(context: 20)
    let engine = try Engine(backend: backend)
    let run = try engine.makeRun(prompt: tokens("abcdefg"), seed: 1)
    try run.advanceBlocking([run.root])
    #expect(run.root.stop == .context && run.root.finished && run.root.generatedTokens == 13)
    expectTrue(run.root, to: backend.world, prompt: tokens("abcdefg"))
    let full = try engine.makeRun(prompt: [Int32](repeating: 1, count: 20))
    try run.advanceBlocking([run.root])
    try full.submit([full.root])
    #expect(try full.waitAny()?.stop == .context)
    let long = engineError { try engine.makeRun(prompt: [Int32](repeating: 1, count: 21)) }
    #expect(long?.code == .context)
    #expect(long?.message.contains("21") == true && long?.message.contains("20") == true)
    let child = try engine.makeRun(prompt: tokens("abc"))
    let appended = engineError { try child.root.append(tokens: [Int32](repeating: 2, count: 18)) }
    #expect(appended?.code == .context)
    #expect(appended?.message.contains("21") == true && appended?.message.contains("20") == true)
    try child.root.append(tokens: [Int32](repeating: 2, count: 17))
  }

  @Test("bad arguments are errors that name the value")
  func arguments() throws {
    let engine = try Engine(backend: hashedBackend())
    #expect(engineError { try engine.makeRun(prompt: []) }?.code == .argument)
    let outside = engineError { try engine.makeRun(prompt: [1, 16]) }
    #expect(outside?.code == .argument && outside?.message.contains("16") == true)
    var options = SamplingOptions()
    options.logitBias[99] = 1
    #expect(
      engineError { try engine.makeRun(prompt: [1], sampling: options) }?.message.contains("99")
        == true)
    #expect(
      engineError { try engine.makeRun(prompt: [1], stops: .init(stopStrings: [""])) }?.code
        == .argument)
    let run = try engine.makeRun(prompt: [1])
    let other = try engine.makeRun(prompt: [1])
    #expect(engineError { try run.submit([other.root]) }?.code == .argument)
    #expect(engineError { try run.submit([run.root, run.root]) }?.code == .argument)
    #expect(engineError { try run.submit([run.root], Advance(maxTokens: -1)) }?.code == .argument)
    #expect(engineError { try run.submit([run.root], Advance(delimiter: "")) }?.code == .argument)
    #expect(engineError { try run.root.fork(-1) }?.code == .argument)
    #expect(try run.waitAny()?.stop == nil)
  }

  @Test("a failing backend and unusable logits are errors of the run, naming the backend")
  func backendFailures() throws {
    for bad in [Float.nan, .infinity, -.infinity] {
      let codec = WordCodec(words: words)
      let world = ClosureWorld(codec: codec) { tokens in
        var row = [Float](repeating: 0, count: codec.vocabularySize)
        if tokens.count > 6 {
          if bad == -.infinity { row = row.map { _ in bad } } else { row[3] = bad }
        }
        return row
      }
      let engine = try Engine(backend: SimulatedBackend(world: world, name: "broken-sim"))
      let run = try engine.makeRun(prompt: [1, 2])
      let error = engineError { try run.advanceBlocking(run.root.fork(3)) }
      #expect(error?.code == .logits)
      #expect(error?.message.contains("broken-sim") == true)
      #expect(error?.message.contains("may be damaged") == true)
      #expect(engineError { try run.submit([run.root]) }?.code == .logits)
      #expect(run.root.generatedTokens == 0)
      // The engine itself goes on.
      let healthy = try engine.makeRun(prompt: [1, 2])
      try healthy.advanceBlocking([healthy.root], Advance(maxTokens: 3))
      #expect(healthy.root.generatedTokens == 3)
    }
    let wrong = ClosureWorld(codec: WordCodec(words: words)) { _ in [0] }
    let engine = try Engine(backend: SimulatedBackend(world: wrong))
    let run = try engine.makeRun(prompt: [1])
    #expect(engineError { try run.advanceBlocking([run.root]) }?.code == .backend)
  }
}
