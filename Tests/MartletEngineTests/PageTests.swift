import MartletEngine
import MartletSimulation
import Testing

@Suite("Pages")
struct PageTests {
  @Test("forking a 2,000-token branch 32 ways adds no pages, and all return")
  func forkAddsNoPages() throws {
    let backend = hashedBackend(pageTokens: 32)
    let engine = try Engine(backend: backend)
    let prompt = (0..<2000).map { Int32($0 % 14) }
    var run: Run? = try engine.makeRun(prompt: prompt, seed: 1)
    try run!.advanceBlocking([run!.root], Advance(maxTokens: 4))
    let before = engine.pagesInUse
    #expect(before == 63)
    let children = try run!.root.fork(32)
    #expect(engine.pagesInUse == before)
    #expect(children.allSatisfy { $0.kvPages == before })
    #expect(run!.root.forkCost(32) == 32 * backend.bytesPerPage)
    let processed = engine.statistics.processedTokens
    try run!.advanceBlocking(children, Advance(maxTokens: 1))
    // One token was still to be processed: once for all 32, and none of their own yet.
    #expect(engine.statistics.processedTokens == processed + 1)
    #expect(engine.pagesInUse == before)
    try run!.advanceBlocking(children, Advance(maxTokens: 1))
    #expect(engine.pagesInUse == before + 32)
    #expect(run!.statistics.peakKVPages == before + 32)
    #expect(run!.statistics.peakKVBytes == (before + 32) * backend.bytesPerPage)
    for child in children { expectTrue(child, to: backend.world, prompt: prompt) }
    children.forEach { $0.release() }
    #expect(engine.pagesInUse == before)
    run = nil
    #expect(engine.pagesInUse == 0)
  }

  @Test("a prompt forked before anything ran is prefilled once")
  func prefillOnce() throws {
    let engine = try Engine(backend: hashedBackend(), configuration: .init(prefillChunk: 16))
    let prompt = (0..<100).map { Int32($0 % 14) }
    let run = try engine.makeRun(prompt: prompt)
    let children = try run.root.fork(8)
    for (i, child) in children.enumerated() where i % 2 == 1 {
      try child.append(tokens: [Int32(i), 3, 2])
    }
    try run.advanceBlocking(children, Advance(maxTokens: 1))
    #expect(engine.statistics.processedTokens == 100 + 4 * 3)
    #expect(engine.statistics.logitsRows == 1 + 4)
    #expect(run.statistics.promptTokens == 112)
    #expect(run.statistics.generatedTokens == 8)
    for child in children { expectTrue(child, to: engine.backend.worldOfTests, prompt: prompt) }
    // The row is kept: more forks need no pass.
    let forwards = engine.statistics.forwards
    try run.advanceBlocking(run.root.fork(5), Advance(maxTokens: 1))
    #expect(engine.statistics.forwards == forwards)
  }

  @Test("without room for kept logits the row is computed again, to the same text")
  func noLogitsCache() throws {
    func texts(_ bytes: Int) throws -> [[Int32]] {
      let engine = try Engine(
        backend: hashedBackend(), configuration: .init(logitsCacheBytes: bytes))
      let run = try engine.makeRun(prompt: tokens("abcdabcd"), seed: 9)
      let first = try run.root.fork(3)
      try run.advanceBlocking(first, Advance(maxTokens: 6))
      let second = try run.root.fork(3)
      try run.advanceBlocking(second, Advance(maxTokens: 6))
      for branch in first + second {
        expectTrue(branch, to: engine.backend.worldOfTests, prompt: tokens("abcdabcd"))
      }
      return (first + second).map(\.tokens)
    }
    #expect(try texts(0) == texts(1 << 20))
  }

  @Test("the ceiling on bytes stops branches with .budget and nothing leaks")
  func ceiling() throws {
    let backend = hashedBackend()
    let engine = try Engine(
      backend: backend, configuration: .init(kvBytesLimit: 10 * backend.bytesPerPage))
    let run = try engine.makeRun(prompt: tokens("abcdefg"), seed: 2)
    let children = try run.root.fork(4)
    try run.advanceBlocking(children, Advance(maxTokens: 100))
    #expect(children.allSatisfy { $0.stop == .budget && !$0.finished })
    #expect(engine.statistics.peakPages <= 10)
    for child in children { expectTrue(child, to: backend.world, prompt: tokens("abcdefg")) }
    // Releasing three lets the fourth go on.
    children[1...].forEach { $0.release() }
    try run.advanceBlocking([children[0]], Advance(maxTokens: 8))
    #expect(children[0].stop == .tokens)
    expectTrue(children[0], to: backend.world, prompt: tokens("abcdefg"))
    children[0].release()
    run.root.release()
    #expect(engine.pagesInUse == 0)
    #expect(
      engineError {
        try Engine(backend: backend, configuration: .init(kvBytesLimit: 999))
      }?.code == .argument)
  }

  @Test("what cannot fit is refused before work, with the bytes it needs")
  func statedRoom() throws {
    let backend = hashedBackend()
    func engine(pages: Int, context: Int? = nil) throws -> Engine {
      var configuration = EngineConfiguration(kvBytesLimit: pages * backend.bytesPerPage)
      configuration.contextLength = context
      return try Engine(backend: backend, configuration: configuration)
    }
    // Four tokens a page of 1000 bytes.
    let small = try engine(pages: 3)
    #expect(small.kvBytes(tokens: 12) == 3000 && small.kvBytes(tokens: 13) == 4000)
    let long = engineError { try small.makeRun(prompt: tokens("abcdabcdabcda")) }
    #expect(long?.code == .budget)
    #expect(long?.message.contains("need 4000 bytes") == true, "\(long?.message ?? "")")
    #expect(long?.message.contains("allows 3000") == true, "\(long?.message ?? "")")
    // What fits to the byte runs.
    let full = try small.makeRun(prompt: tokens("abcdabcdabcd"))
    try full.advanceBlocking([full.root], Advance(maxTokens: 4))
    #expect(full.root.generatedTokens == 1 && full.root.stop == .budget)
    #expect(small.statistics.peakKVBytes == 3000)
    let other = engineError { try full.open(prompt: tokens("abcdabcdabcda")) }
    #expect(other?.code == .budget && other?.message.contains("need 4000 bytes") == true)

    // A run's own limit, which its companion's prompt counts towards.
    let wide = try engine(pages: 100)
    let own = engineError {
      try wide.makeRun(prompt: tokens("abcdabcd"), kvBytesLimit: 1999)
    }
    #expect(own?.code == .budget)
    #expect(
      own?.message.contains("need 2000 bytes, and the run's budget of kv_bytes allows 1999")
        == true,
      "\(own?.message ?? "")")
    let guided = Guidance(by: .prompt(tokens("abcde")), scale: 2)
    #expect(
      engineError {
        try wide.makeRun(prompt: tokens("abcdabcd"), guidance: guided, kvBytesLimit: 3999)
      }?.message.contains("need 4000 bytes") == true)
    let fits = try wide.makeRun(
      prompt: tokens("abcdabcd"), guidance: guided, kvBytesLimit: 4000)
    #expect(fits.kvBytesLimit == 4000)

    // A stated context.
    let refused = engineError { try engine(pages: 3, context: 13) }
    #expect(refused?.code == .budget && refused?.message.contains("need 4000 bytes") == true)
    #expect(engineError { try engine(pages: 9, context: 5000) }?.code == .argument)
    #expect(engineError { try engine(pages: 9, context: 0) }?.code == .argument)
    let stated = try engine(pages: 4, context: 13)
    let run = try stated.makeRun(prompt: tokens("abcdabcdabc"))
    try run.advanceBlocking([run.root], Advance(maxTokens: 20))
    #expect(run.root.stop == .context && run.root.generatedTokens == 2)
    #expect(
      engineError { try stated.makeRun(prompt: tokens("abcdabcdabcdab")) }?.code == .context)
  }

  @Test("storage that the system refuses is an error of the run that wanted it, not a budget")
  func refusedStorage() throws {
    // Pages are asked for sixteen at a time.
    let backend = SimulatedBackend(
      world: hashedBackend().world, pageTokens: 4, bytesPerPage: 1000, storagePages: 20)
    let engine = try Engine(backend: backend)
    let run = try engine.makeRun(prompt: tokens("abcdefg"), seed: 2)
    let children = try run.root.fork(4)
    let error = engineError { try run.advanceBlocking(children, Advance(maxTokens: 100)) }
    #expect(error?.code == .memory)
    #expect(error?.message.contains("storage for 20 pages") == true, "\(error?.message ?? "")")
    #expect(children.allSatisfy { $0.stop == .cancelled && $0.generatedTokens > 0 })
    children.forEach { $0.release() }
    run.root.release()
    #expect(engine.pagesInUse == 0)
    // Others go on with what there is.
    let other = try engine.makeRun(prompt: tokens("abc"))
    try other.advanceBlocking([other.root], Advance(maxTokens: 40))
    #expect(other.root.generatedTokens == 40)
  }

  @Test("resampling moves references and gives clones different futures")
  func resample() throws {
    let backend = hashedBackend()
    let engine = try Engine(backend: backend)
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 4)
    var population = try run.root.fork(6)
    run.root.release()
    for round in 0..<12 {
      try run.advanceBlocking(population, Advance(maxTokens: 3))
      let texts = population.map(\.tokens)
      let pages = engine.pagesInUse
      let ancestors = [0, 0, 0, round % 6, 5, 5]
      let old = population
      population = try run.resample(population, ancestors: ancestors)
      #expect(engine.pagesInUse <= pages)
      #expect(population.map(\.tokens) == ancestors.map { texts[$0] })
      #expect(old.allSatisfy { $0.isReleased })
    }
    try run.advanceBlocking(population, Advance(maxTokens: 8))
    #expect(Set(population.map(\.tokens)).count == 6)
    for branch in population { expectTrue(branch, to: backend.world, prompt: tokens("abc")) }
    #expect(engineError { try run.resample(population, ancestors: [6]) }?.code == .argument)
    #expect(
      engineError { try run.resample([population[0], population[0]], ancestors: [0]) }?.code
        == .argument)
    population.forEach { $0.release() }
    #expect(engine.pagesInUse == 0)
  }

  @Test("truncating frees pages and draws afresh; a released branch says so")
  func truncate() throws {
    let backend = hashedBackend()
    let engine = try Engine(backend: backend)
    let run = try engine.makeRun(prompt: tokens("abcd"), seed: 8)
    try run.advanceBlocking([run.root], Advance(maxTokens: 20))
    let first = run.root.tokens
    #expect(engine.pagesInUse == 6)
    try run.root.truncate(toGenerated: 4)
    #expect(engine.pagesInUse == 2)
    #expect(run.root.stop == .none)
    try run.root.truncate(toGenerated: 4)
    try run.advanceBlocking([run.root], Advance(maxTokens: 16))
    #expect(run.root.tokens.prefix(4) == first.prefix(4))
    #expect(run.root.tokens != first)
    expectTrue(run.root, to: backend.world, prompt: tokens("abcd"))
    #expect(engineError { try run.root.truncate(toGenerated: 21) }?.code == .argument)
    run.root.release()
    run.root.release()
    #expect(engineError { try run.root.fork(1) }?.code == .released)
    #expect(engineError { try run.advanceBlocking([run.root]) }?.code == .released)
    #expect(run.root.tokens.count == 20)
    #expect(engine.pagesInUse == 0)
  }
}

extension Backend {
  var worldOfTests: any SimulatedWorld { (self as! SimulatedBackend).world }
}
