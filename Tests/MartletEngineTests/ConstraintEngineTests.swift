import MartletEngine
import MartletSimulation
import Synchronization
import Testing

@Suite("Constraints: runs")
struct ConstraintEngineTests {
  static let schema = """
    {"type":"object","properties":{"identifier":{"type":"integer","minimum":0,"maximum":99},
    "description":{"const":"nothing to be seen"},"flag":{"type":"boolean"}},
    "required":["identifier","description","flag"]}
    """

  static func backend(_ codec: any TokenCodec = ByteCodec()) -> SimulatedBackend {
    SimulatedBackend(
      world: HashedWorld(codec: codec, seed: 11, spread: 3, endBias: 0), contextLength: 4096,
      pageTokens: 4, bytesPerPage: 1000, maximumBatchTokens: 64)
  }

  static func run(
    _ engine: Engine, _ constraint: Constraint, seed: UInt64 = 1, gate: (any TokenGate)? = nil,
    stops: StopRules = .init()
  ) throws -> Run {
    let run = try engine.makeRun(
      prompt: [1, 2, 3], seed: seed, stops: stops, constraint: constraint)
    run.gate = gate
    return run
  }

  @Test("every text of every branch is valid, and ends by itself")
  func textsAreValid() async throws {
    let engine = try Engine(backend: Self.backend())
    let constraints = [
      try Constraint.jsonSchema(Self.schema), try Constraint.regex("(yes|no), [0-9]{2,5}(é|日)!"),
    ]
    for constraint in constraints {
      for seed in 0..<6 {
        let run = try Self.run(engine, constraint, seed: UInt64(seed))
        let branches = try run.root.fork(5)
        try await run.advance(branches)
        for branch in branches {
          #expect(branch.stop == .endOfSequence)
          #expect(constraint.accepts(branch.text.utf8), "\(branch.text)")
          #expect(branch.logprobs.allSatisfy { $0 <= 0 && $0.isFinite })
        }
        #expect(Set(branches.map(\.text)).count > 1)
      }
    }
    engine.shutdown()
  }

  @Test("forced text needs no forward pass, and its tokens go through the model in chunks")
  func forcedSkipsForwards() async throws {
    let backend = Self.backend()
    let engine = try Engine(backend: backend)
    let constraint = try Constraint.jsonSchema(Self.schema, whitespace: .compact)
    let run = try Self.run(engine, constraint)
    try await run.advance([run.root])
    let statistics = run.statistics
    let generated = run.root.generatedTokens
    #expect(statistics.generatedTokens == generated)
    // Only the number's digits and the flag are chosen.
    #expect(statistics.forcedTokens >= generated - 8)
    #expect(statistics.forcedTokens < generated)
    #expect(statistics.forwards <= generated - statistics.forcedTokens + 4)
    #expect(backend.statistics.logitsRows <= generated - statistics.forcedTokens)
    #expect(run.root.logprobs.count { $0 == 0 } == statistics.forcedTokens)
    expectTrue(run.root, to: backend.world, prompt: [1, 2, 3])
    #expect(backend.statistics.largestBatch > 8)
    engine.shutdown()
  }

  @Test("text that is wholly forced needs no model at all")
  func whollyForced() async throws {
    let backend = Self.backend()
    let engine = try Engine(backend: backend)
    let run = try Self.run(engine, try Constraint.regex("exactly this"))
    let branches = try run.root.fork(3)
    try await run.advance(branches)
    #expect(branches.allSatisfy { $0.text == "exactly this" && $0.stop == .endOfSequence })
    #expect(backend.statistics.forwards == 0)
    // Without a token that ends it, the text still ends where it is complete.
    let endless = try Self.run(
      engine, try Constraint.regex("so be it"), stops: StopRules(stopAtEndOfGeneration: false))
    try await endless.advance([endless.root])
    #expect(endless.root.text == "so be it" && endless.root.stop == .endOfSequence)
    engine.shutdown()
  }

  @Test("a text does not depend on what else runs, on chunks, budgets or forks")
  func determinism() async throws {
    let constraint = try Constraint.jsonSchema(Self.schema)
    func texts(_ configuration: EngineConfiguration, crowd: Int, gate: Bool) async throws
      -> [String]
    {
      let engine = try Engine(backend: Self.backend(), configuration: configuration)
      defer { engine.shutdown() }
      let others = try (0..<crowd).map { try Self.run(engine, constraint, seed: UInt64(100 + $0)) }
      for other in others { try other.submit(other.root.fork(2)) }
      let run = try Self.run(
        engine, constraint, seed: 9, gate: gate ? CountingGate(limit: 5000) : nil)
      let branches = try run.root.fork(4)
      try await run.advance(branches, Advance(maxTokens: 7))
      try await run.advance(branches)
      for other in others { other.cancel() }
      return branches.map(\.text)
    }
    let plain = try await texts(.init(), crowd: 0, gate: false)
    #expect(plain.allSatisfy { constraint.accepts($0.utf8) })
    #expect(try await texts(.init(), crowd: 3, gate: false) == plain)
    #expect(try await texts(.init(), crowd: 0, gate: true) == plain)
    #expect(
      try await texts(
        .init(prefillChunk: 2, mixedPrefillChunk: 1, overrun: 0), crowd: 2, gate: false)
        == plain)
  }

  @Test("branches are cut, forked, appended to and resampled in the middle of a text")
  func operations() async throws {
    let engine = try Engine(backend: Self.backend())
    let constraint = try Constraint.jsonSchema(
      #"{"type":"array","items":{"type":"string","minLength":3,"maxLength":9},"minItems":4,"maxItems":4}"#
    )
    let run = try Self.run(engine, constraint)
    try await run.advance([run.root], Advance(maxTokens: 12))
    let before = run.root.tokens
    let children = try run.root.fork(2)
    try run.root.truncate(toGenerated: 5)
    #expect(run.root.tokens == Array(before.prefix(5)))
    try await run.advance(children + [run.root])
    let population = try run.resample(children + [run.root], ancestors: [0, 0, 2])
    for branch in population {
      #expect(constraint.accepts(branch.text.utf8), "\(branch.text)")
      try branch.truncate(toGenerated: 9)
    }
    try await run.advance(population)
    #expect(population.allSatisfy { constraint.accepts($0.text.utf8) })

    let other = try Self.run(engine, try Constraint.regex("sum=[0-9]+;"))
    try other.root.append(text: "sum=4")
    let error = engineError { try other.root.append(text: "2x") }
    #expect(error?.code == .argument)
    #expect(error?.message.contains("byte 1") ?? false, "\(error?.message ?? "no error")")
    #expect(other.root.text == "sum=4")
    try await other.advance([other.root])
    #expect(other.root.text.hasPrefix("sum=4") && other.root.text.hasSuffix(";"))
    engine.shutdown()
  }

  @Test("tokens that are not allowed have no probability, and the others keep their proportions")
  func distribution() throws {
    var random = TestRandom(seed: 2)
    let row = (0..<50).map { _ in Float(random.uniform() * 6 - 3) }
    let allowed = Set((0..<50).filter { $0 % 3 == 1 })
    var words = [UInt64](repeating: 0, count: 1)
    for token in allowed { words[0] |= 1 << UInt64(token) }
    let mask = TokenMask(words: words, vocabularySize: 50)
    for chain in [
      "", "temperature=0.7,top-k=5", "top-p=0.8", "repetition-penalty=1.4", "temperature=0",
    ] {
      let options = try SamplingOptions.parse(chain)
      let masked = row.enumerated().map { allowed.contains($0.offset) ? $0.element : -.infinity }
      let expected = referenceDistribution(masked, options, history: [1, 4, 4])
      var sampler = Sampler(options: options)
      var counts = [Int](repeating: 0, count: 50)
      let logprobs = logSoftmax(row)
      for _ in 0..<4000 {
        let drawn = try sampler.sample(
          row.span, history: [1, 4, 4][...], uniform: random.uniform(), allowed: mask)
        counts[Int(drawn.token)] += 1
        #expect(abs(Double(drawn.logprob) - logprobs[Int(drawn.token)]) < 1e-5)
      }
      #expect(chiSquareScore(counts, expected) < 5.5, "\(chain)")
    }
  }

  @Test("a vocabulary that cannot spell the constraint is told what it lacks")
  func spelling() throws {
    let engine = try Engine(backend: hashedBackend())
    let error = engineError {
      try engine.makeRun(
        prompt: [1], constraint: try Constraint.jsonSchema("{\"type\":\"object\"}"))
    }
    #expect(error?.code == .argument)
    #expect(error?.message.contains("'{'") ?? false, "\(error?.message ?? "no error")")
    engine.shutdown()
  }
}
