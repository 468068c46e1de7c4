import MartletEngine
import MartletSimulation
import Testing

@Suite("Drafting")
struct DraftingTests {
  private let prompt = tokens("abc defg. hij ")
  private static let kinds: [Drafting] =
    Drafting.Source.allCases.map { Drafting([$0]) } + [
      .auto, Drafting([.ngram, .siblings, .trie]), Drafting([.siblings], maximumNodes: 3),
      Drafting([.siblings], maximumDepth: 1),
    ]

  /// Texts, log-probabilities and entropies of `width` branches of `count` tokens.
  private func generate(
    _ drafting: Drafting, width: Int, count: Int = 120, greedy: Bool = false, overrun: Int = 8,
    pageTokens: Int = 4, gate: CountingGate? = nil, on shared: SimulatedBackend? = nil
  ) throws -> (texts: [[Int32]], logprobs: [[Float]], run: RunStatistics, moves: Int) {
    let backend = shared ?? repetitiveBackend(pageTokens: pageTokens)
    let engine = try Engine(backend: backend, configuration: .init(overrun: overrun))
    let run = try engine.makeRun(
      prompt: prompt, seed: 9, sampling: greedy ? .greedy : .init(), drafting: drafting)
    run.gate = gate
    let branches = try run.root.fork(width)
    try run.advanceBlocking(branches, Advance(maxTokens: count))
    for branch in branches { expectTrue(branch, to: backend.world, prompt: prompt) }
    let result = (branches.map(\.tokens), branches.map(\.logprobs), run.statistics)
    for branch in branches { branch.release() }
    run.root.release()
    #expect(engine.pagesInUse == 0)
    return (result.0, result.1, result.2, backend.statistics.moves)
  }

  @Test("texts and log-probabilities are the same bits, in fewer passes", arguments: kinds)
  func sameTexts(drafting: Drafting) throws {
    for width in [1, 7] {
      let plain = try generate(.off, width: width)
      #expect(plain.run.draftedTokens == 0 && plain.run.savedSteps == 0)
      for overrun in [0, 8] {
        let drafted = try generate(drafting, width: width, overrun: overrun)
        #expect(drafted.texts == plain.texts)
        #expect(drafted.logprobs == plain.logprobs)
        #expect(drafted.run.acceptedTokens > 0, "nothing accepted: the test shows nothing")
        #expect(drafted.run.acceptedTokens <= drafted.run.draftedTokens)
        #expect(drafted.run.savedSteps <= drafted.run.acceptedTokens)
        if overrun > 0 { #expect(drafted.run.forwards < plain.run.forwards) }
        if width == 1 {
          #expect(drafted.run.forwards + drafted.run.savedSteps == plain.run.forwards)
        }
      }
    }
  }

  @Test("greedy texts too, with page sizes that trees cross", arguments: [1, 3, 32])
  func greedy(pageTokens: Int) throws {
    let plain = try generate(.off, width: 5, count: 400, greedy: true, pageTokens: pageTokens)
    let drafted = try generate(.auto, width: 5, count: 400, greedy: true, pageTokens: pageTokens)
    #expect(drafted.texts == plain.texts)
    #expect(drafted.run.forwards * 2 < plain.run.forwards, "greedy text that repeats is guessed")
  }

  @Test("ways down that are not the first move their positions")
  func moves() throws {
    let drafted = try generate(.auto, width: 7, count: 300)
    #expect(drafted.moves > 0, "no tree was followed off its first path: the test shows nothing")
  }

  @Test("a backend without trees gets chains")
  func chains() throws {
    let backend = ChainOnlyBackend(repetitiveBackend())
    let engine = try Engine(backend: backend)
    let run = try engine.makeRun(prompt: prompt, seed: 9, drafting: .auto)
    let branches = try run.root.fork(7)
    try run.advanceBlocking(branches, Advance(maxTokens: 120))
    #expect(branches.map(\.tokens) == (try generate(.off, width: 7)).texts)
    #expect(run.statistics.acceptedTokens > 0)
  }

  @Test("a token budget ends at the same tokens", arguments: [1, 50, 333])
  func budget(tokens: Int) throws {
    let plainGate = CountingGate(limit: tokens)
    let plain = try generate(.off, width: 4, gate: plainGate)
    let gate = CountingGate(limit: tokens)
    let drafted = try generate(.auto, width: 4, gate: gate)
    #expect(drafted.texts == plain.texts)
    #expect(gate.granted == tokens && plainGate.granted == tokens)
  }

  @Test("nothing is drafted where rows cost what they yield")
  func expensiveRows() throws {
    let backend = repetitiveBackend(cost: SimulatedCost(perForward: 0, perRow: 1))
    let drafted = try generate(.auto, width: 3, on: backend)
    #expect(drafted.run.draftedTokens == 0)
  }

  @Test("never dearer than without, and cheaper where text repeats", arguments: [9, 40])
  func worthwhile(certainty: Float) throws {
    // Nine rows cost twice what one does.
    let backend = repetitiveBackend(
      certainty: certainty, order: certainty == 40 ? 2 : 3,
      cost: SimulatedCost(perForward: 8, perRow: 1))
    let engine = try Engine(backend: backend)
    var seed: UInt64 = 20
    func seconds(_ width: Int, _ drafting: Drafting) throws -> Double {
      seed += 1
      let before = backend.statistics.virtualSeconds
      let run = try engine.makeRun(prompt: prompt, seed: seed, drafting: drafting)
      let branches = try run.root.fork(width)
      try run.advanceBlocking(branches, Advance(maxTokens: 400))
      return backend.statistics.virtualSeconds - before
    }
    for width in [1, 2, 4, 8, 16, 32] {
      let (plain, drafted) = (try seconds(width, .off), try seconds(width, .auto))
      #expect(drafted < 1.03 * plain, "drafting at width \(width) cost time")
      if width <= 4 && certainty == 40 {
        #expect(drafted * 1.2 < plain, "drafting gains at width \(width)")
      }
    }
  }

  @Test("text that cannot be guessed is soon left alone")
  func unpredictable() throws {
    let backend = hashedBackend(cost: SimulatedCost(perForward: 8, perRow: 1))
    let engine = try Engine(backend: backend)
    let run = try engine.makeRun(prompt: prompt, seed: 9, drafting: .auto)
    try run.advanceBlocking([run.root], Advance(maxTokens: 1000))
    let rows = run.statistics.draftedTokens
    #expect(Double(rows) < 0.1 * 1000, "\(rows) rows were wasted in 1000 steps")
  }

  @Test("guesses never take the last pages from those who need them")
  func ceiling() throws {
    func run(_ drafting: Drafting) throws -> [[Int32]] {
      let engine = try Engine(
        backend: repetitiveBackend(), configuration: .init(kvBytesLimit: 46 * 1000))
      let run = try engine.makeRun(prompt: prompt, seed: 4, drafting: drafting)
      let branches = try run.root.fork(4)
      try run.advanceBlocking(branches, Advance(maxTokens: 36))
      return branches.map(\.tokens)
    }
    let plain = try run(.off)
    #expect(plain.allSatisfy { $0.count == 36 })
    #expect(try run(.auto) == plain)
  }

  @Test("the end of the context is where it was")
  func context() throws {
    func run(_ drafting: Drafting) throws -> Branch {
      let engine = try Engine(backend: repetitiveBackend(context: 64))
      let run = try engine.makeRun(prompt: prompt, seed: 4, drafting: drafting)
      try run.advanceBlocking([run.root])
      return run.root
    }
    let (plain, drafted) = (try run(.off), try run(.auto))
    #expect(plain.stop == .context && drafted.stop == .context)
    #expect(drafted.tokens == plain.tokens)
  }

  @Test(
    "names of drafting",
    arguments: [
      "auto", "off", "ngram", "siblings+trie", "self", "exit=2", "auto+ngram", "ngram+self",
      "auto+model=a+b=c.gguf", "medusa=heads.gguf", "eagle=head.gguf",
    ])
  func names(text: String) throws {
    let drafting = try Drafting.parse(text)
    #expect(drafting.isOn == (text != "off"))
    #expect(try Drafting.parse(drafting.name) == drafting)
  }

  @Test(
    "bad names are refused",
    arguments: [
      "", "ngrams", "ngram+", "trie+trie", "auto+trie", "auto+auto", "off+ngram", "exit=0",
      "exit=x",
      "self+exit=1", "model=", "model", "models=x",
    ])
  func badNames(text: String) {
    let error = engineError { try Drafting.parse(text) }
    #expect(error?.code == .argument && error?.message.contains("'\(text)'") ?? false)
  }
}

/// A backend that can only continue sequences.
private final class ChainOnlyBackend: BackendAround {
  let inner: SimulatedBackend
  init(_ inner: SimulatedBackend) { self.inner = inner }
  func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError) {
    guard batch.tokens.allSatisfy(\.path.isEmpty) else {
      throw EngineError(.backend, "a tree was given to a backend without trees")
    }
    try inner.forward(batch, logits: logits)
  }
  func statedStepSeconds(width: Int) -> Double? { inner.statedStepSeconds(width: width) }
}
