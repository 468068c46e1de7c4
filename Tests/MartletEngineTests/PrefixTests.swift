import Foundation
import MartletEngine
import MartletKernels
import MartletModel
import MartletSimulation
import Testing

/// Prompts' pages kept across runs: they save reading and change nothing else.
@Suite("Prefix store", .serialized)
struct PrefixTests {
  private static func backend(shares: Bool = true) -> SimulatedBackend {
    SimulatedBackend(
      world: hashedBackend().world, pageTokens: 4, bytesPerPage: 1000, sharesPrefixPages: shares)
  }

  private static func engine(
    _ backend: any Backend, pages: Int = 1000, stored: Int? = 200, folder: String? = nil,
    folderBytes: Int = 1 << 30
  ) throws -> Engine {
    var configuration = EngineConfiguration(kvBytesLimit: pages * backend.bytesPerPage)
    configuration.prefixes = stored.map {
      PrefixStoreOptions(
        folder: folder, memoryBytes: $0 * backend.bytesPerPage, folderBytes: folderBytes)
    }
    return try Engine(backend: backend, configuration: configuration)
  }

  private func tokens(_ count: Int, _ seed: UInt64) -> [Token] {
    var random = TestRandom(seed: seed)
    return (0..<count).map { _ in Token(random.next() % 13) }
  }

  @Test("a prompt that begins as an earlier one reads only the rest", arguments: [true, false])
  func hits(shares: Bool) throws {
    let backend = Self.backend(shares: shares)
    let engine = try Self.engine(backend)
    defer { engine.shutdown() }
    let prompt = tokens(42, 1)
    func ask(_ prompt: [Token]) throws -> (cached: Int, processed: Int) {
      let before = engine.statistics.processedTokens
      let run = try engine.makeRun(prompt: prompt, seed: 4)
      try run.advanceBlocking([run.root], Advance(maxTokens: 3))
      expectTrue(run.root, to: backend.world, prompt: prompt)
      #expect(run.statistics.promptTokens == prompt.count)
      return (run.statistics.cachedPromptTokens, engine.statistics.processedTokens - before)
    }
    #expect(try ask(prompt) == (0, 44))
    #expect(engine.pagesInUse == 0 && engine.statistics.storedPages == 10)
    // Ten whole pages of four.
    #expect(try ask(prompt) == (40, 4))
    #expect(try ask(Array(prompt[..<22]) + tokens(9, 2)) == (20, 13))
    // The last token is always read, for its logits.
    #expect(try ask(Array(prompt[..<16])) == (12, 6))
    #expect(try ask([1] + prompt) == (0, 45))
    #expect(engine.statistics.cachedPromptTokens == 72)
    #expect(engine.pagesInUse == 0)
  }

  /// What a user sees of a run.
  private struct Outcome: Equatable {
    var texts: [[Token]] = []
    var stops: [StopReason] = []
    var logprobs: [[Float]] = []
    var peak = 0
  }

  /// Runs on prompts that share beginnings, one after another or two at once, with forks, cuts,
  /// demotions and further prompts.
  private func mixed(_ engine: Engine, seed: UInt64, kvBytesLimit: Int? = nil) throws -> [Outcome] {
    var random = TestRandom(seed: seed)
    var outcomes: [Outcome] = []
    var prompts = [tokens(30, seed)]
    for round in 0..<14 {
      let known = prompts.randomElement(using: &random)!
      let cut = Int.random(in: 1...known.count, using: &random)
      let prompt =
        Array(known.prefix(cut)) + tokens(Int.random(in: 0...25, using: &random), random.next())
      prompts.append(prompt)
      let run = try engine.makeRun(
        prompt: prompt, seed: UInt64(round), kvBytesLimit: kvBytesLimit)
      let beside = try engine.makeRun(
        prompt: prompts.randomElement(using: &random)!, seed: 77, kvBytesLimit: kvBytesLimit)
      var branches = try run.root.fork(3)
      try run.submit(branches, Advance(maxTokens: 6))
      try beside.advanceBlocking([beside.root], Advance(maxTokens: 5))
      while try run.waitAny() != nil {}
      if round % 3 == 0 { _ = try branches[1].demote() }
      if round % 3 == 1 { try branches[0].truncate(toGenerated: 1) }
      if branches.allSatisfy({ $0.stop != .budget }) {
        branches = try run.resample(branches, ancestors: [0, 1, 1])
        try run.advanceBlocking(branches, Advance(maxTokens: 5))
      }
      if round % 4 == 0, kvBytesLimit == nil {
        branches.append(try run.open(prompt: prompts.randomElement(using: &random)!))
        try run.advanceBlocking([branches[branches.count - 1]], Advance(maxTokens: 4))
      }
      var outcome = Outcome()
      for branch in branches + [beside.root] {
        outcome.texts.append(branch.tokens)
        outcome.stops.append(branch.stop)
        outcome.logprobs.append(branch.logprobs)
      }
      outcome.peak = run.statistics.peakKVPages
      outcomes.append(outcome)
    }
    return outcomes
  }

  @Test(
    "runs are what they are without it: texts, stops, peaks", arguments: [true, false],
    [0, 3, 25, 1000])
  func nothingElse(shares: Bool, stored: Int) throws {
    for seed in UInt64(1)...4 {
      for limit in [nil, 11 * 1000] {
        let plain = try Self.engine(Self.backend(), stored: nil)
        let expected = try mixed(plain, seed: seed, kvBytesLimit: limit.map { max($0, 15_000) })
        plain.shutdown()
        let engine = try Self.engine(Self.backend(shares: shares), stored: stored)
        let outcomes = try mixed(engine, seed: seed, kvBytesLimit: limit.map { max($0, 15_000) })
        for (index, (outcome, expected)) in zip(outcomes, expected).enumerated() {
          #expect(outcome.texts == expected.texts, "run \(index), seed \(seed)")
          #expect(outcome.logprobs == expected.logprobs, "run \(index), seed \(seed)")
          #expect(outcome.stops == expected.stops, "run \(index), seed \(seed)")
          #expect(outcome.peak == expected.peak, "run \(index), seed \(seed)")
        }
        #expect(engine.pagesInUse == 0)
        #expect(engine.statistics.storedPages <= stored)
        if stored > 3 { #expect(engine.statistics.cachedPromptTokens > 0) }
        engine.shutdown()
        #expect(engine.statistics.storedPages == 0)
      }
    }
  }

  @Test("what is stored gives way to runs, and the least recently used first")
  func givesWay() throws {
    let backend = Self.backend()
    let engine = try Self.engine(backend, pages: 20, stored: 20)
    defer { engine.shutdown() }
    func ask(_ prompt: [Token], _ count: Int = 1) throws -> Int {
      let run = try engine.makeRun(prompt: prompt)
      try run.advanceBlocking([run.root], Advance(maxTokens: count))
      #expect(run.root.stop == .tokens)
      expectTrue(run.root, to: backend.world, prompt: prompt)
      return run.statistics.cachedPromptTokens
    }
    let (first, second) = (tokens(33, 1), tokens(33, 2))
    #expect(try ask(first) == 0)
    #expect(try ask(second) == 0)
    #expect(engine.statistics.storedPages == 16)
    #expect(try ask(first) == 32)
    // Eleven pages, four of which are free.
    #expect(try ask(tokens(9, 3), 34) == 0)
    #expect(try ask(first) == 32, "the older went first")
    #expect(try ask(second) < 32)
    #expect(try ask(tokens(60, 4), 20) == 0, "all twenty pages")
    #expect(engine.statistics.peakPages == 20 && engine.pagesInUse == 0)
  }

  // MARK: Models

  private func folder() throws -> String {
    FileManager.default.temporaryDirectory.appending(path: "martlet-prefixes-\(UUID())").path
  }

  private func files(_ folder: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
      .map { folder + "/" + $0 }
  }

  private struct Text: Equatable {
    var tokens: [[Token]] = []
    var logprobs: [[Float]] = []
  }

  /// Two questions about one text, each by forked branches.
  private func questions(
    _ engine: Engine, _ fixture: TransformerFixture, length: Int, drafting: Drafting = .off,
    rest: Int = 9
  ) throws -> (text: Text, cached: [Int]) {
    var (text, cached): (Text, [Int]) = (Text(), [])
    var sampling = SamplingOptions()
    sampling.temperature = 0.3
    let document = fixture.tokens(length, seed: 5)
    for question in 0..<3 {
      // The third asks the first question again.
      let prompt = document + fixture.tokens(rest + question % 2, seed: UInt64(question % 2))
      let run = try engine.makeRun(
        prompt: prompt, seed: 3, sampling: sampling, drafting: drafting)
      let branches = try run.root.fork(2)
      try run.advanceBlocking(branches, Advance(maxTokens: 40))
      try branches[0].truncate(toGenerated: 11)
      try run.advanceBlocking(branches, Advance(maxTokens: 12))
      text.tokens += branches.map(\.tokens)
      text.logprobs += branches.map(\.logprobs)
      cached.append(run.statistics.cachedPromptTokens)
    }
    #expect(engine.pagesInUse == 0)
    return (text, cached)
  }

  @Test("the same bits from memory and from files, for every type", arguments: KVType.allCases)
  func everyType(kvType: KVType) throws {
    let fixture = try TransformerFixture(seed: 81, type: .f16)
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func ask(_ stored: Int?, _ folder: String?) throws -> (text: Text, cached: [Int]) {
      let engine = try Self.engine(
        fixture.backend(threads: 2, kvType: kvType), stored: stored, folder: folder)
      defer { engine.shutdown() }
      return try questions(engine, fixture, length: 200)
    }
    let plain = try ask(nil, nil)
    #expect(plain.cached == [0, 0, 0])
    let memory = try ask(100, nil)
    #expect(memory.text == plain.text && memory.cached == [0, 192, 192])
    let writing = try ask(100, folder)
    #expect(writing.text == plain.text && writing.cached == memory.cached)
    // A first file, and what the second question has beyond it: nothing here, within a page.
    #expect(files(folder).count == 1)
    let reading = try ask(0, folder)
    #expect(reading.text == plain.text && reading.cached == [192, 192, 192])
    for other in KVType.allCases where other != kvType {
      let engine = try Self.engine(
        fixture.backend(kvType: other), stored: 0, folder: folder)
      defer { engine.shutdown() }
      #expect(try questions(engine, fixture, length: 200).cached[0] == 0, "another type")
      break
    }
  }

  @Test(
    "the same bits under attention that leaves positions out, and with drafts",
    arguments: [
      AttentionMethod.retrieve(
        .init(tolerance: 0.2, minimumPositions: 1024, recent: 64, nibbles: 16)),
      .retrieve(.init(wanted: 24, minimumPositions: 1024, recent: 64, nibbles: 16)),
      .window(recent: 100, sinks: 32),
    ])
  func otherAttention(method: AttentionMethod) throws {
    let fixture = try TransformerFixture(seed: 81, type: .f16, context: 1_800)
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func ask(
      _ stored: Int?, _ folder: String?, _ drafting: Drafting = .off
    ) throws -> (text: Text, cached: [Int]) {
      let backend = try fixture.backend(threads: 2, attention: method)
      let engine = try Self.engine(backend, stored: stored, folder: folder)
      defer { engine.shutdown() }
      return try questions(engine, fixture, length: 1_250, drafting: drafting, rest: 70)
    }
    let plain = try ask(nil, nil)
    let memory = try ask(200, nil)
    #expect(memory.text == plain.text && memory.cached == [0, 1248, 1312])
    #expect(try ask(200, folder).text == plain.text)
    #expect(files(folder).count == 2, "the second question goes on where the first file parts")
    let reading = try ask(0, folder, Drafting([.siblings, .ngram]))
    #expect(reading.text == plain.text && reading.cached == [1312, 1312, 1312])
  }

  @Test("runs at once on one text, each with an index of its own")
  func atOnce() throws {
    let fixture = try TransformerFixture(seed: 81, type: .f16, context: 1_800)
    let method = AttentionMethod.retrieve(
      .init(wanted: 24, minimumPositions: 1024, recent: 64, nibbles: 16))
    func ask(_ stored: Int?) throws -> [[Token]] {
      let engine = try Self.engine(
        fixture.backend(threads: 2, attention: method), stored: stored)
      defer { engine.shutdown() }
      let document = fixture.tokens(1_250, seed: 5)
      if stored != nil {
        let first = try engine.makeRun(prompt: document)
        try first.advanceBlocking([first.root], Advance(maxTokens: 2))
      }
      let runs = try (0..<3).map {
        try engine.makeRun(
          prompt: document + fixture.tokens(70 + 40 * $0, seed: UInt64($0)), seed: 3)
      }
      for run in runs { try run.submit([run.root], Advance(maxTokens: 30)) }
      for run in runs { while try run.waitAny() != nil {} }
      if stored != nil {
        #expect(runs.allSatisfy { $0.statistics.cachedPromptTokens == 1_248 })
      }
      return runs.map(\.root.tokens)
    }
    #expect(try ask(100) == ask(nil))
  }

  @Test("the bytes of files are bounded, and they are the owner's alone")
  func folderBound() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func ask(_ seed: UInt64) throws -> Int {
      let engine = try Self.engine(
        Self.backend(), stored: 0, folder: folder, folderBytes: 3 * 5_000)
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: tokens(90, seed))
      try run.advanceBlocking([run.root], Advance(maxTokens: 1))
      return run.statistics.cachedPromptTokens
    }
    for seed in UInt64(1)...3 { #expect(try ask(seed) == 0) }
    #expect(files(folder).count == 3)
    usleep(20_000)
    #expect(try ask(1) == 88)
    usleep(20_000)
    #expect(try ask(4) == 0)
    #expect(files(folder).count == 3)
    #expect(try ask(1) == 88, "used since")
    #expect(try ask(2) == 0, "the oldest went")
    for path in [folder] + files(folder) {
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
      #expect(mode.map { $0 & 0o077 } == 0)
    }
    #expect(PrefixFolder(path: folder).byteCount <= 15_000)
    #expect(PrefixFolder(path: folder).items().allSatisfy { $0.promptTokens == 88 })
    #expect(try PrefixFolder(path: folder).clear() > 0)
    #expect(files(folder).isEmpty)
    #expect(try ask(1) == 0)
  }

  @Test("a damaged, foreign or older file is a miss, and no other text")
  func damage() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let backend = Self.backend()
    let prompt = tokens(90, 1)
    func ask() throws -> Int {
      let engine = try Self.engine(backend, stored: 0, folder: folder)
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: prompt, seed: 8)
      try run.advanceBlocking([run.root], Advance(maxTokens: 20))
      expectTrue(run.root, to: backend.world, prompt: prompt)
      return run.statistics.cachedPromptTokens
    }
    #expect(try ask() == 0)
    let path = try #require(files(folder).first)
    let sound = try Data(contentsOf: URL(fileURLWithPath: path))
    func put(_ data: Data) throws {
      for file in files(folder) { try FileManager.default.removeItem(atPath: file) }
      try data.write(to: URL(fileURLWithPath: path))
      #expect(chmod(path, 0o600) == 0)
    }
    #expect(try ask() == 88)
    var random = TestRandom(seed: 3)
    for _ in 0..<120 {
      var bad = sound
      switch random.next() % 4 {
      case 0: bad.removeLast(1 + Int(random.next() % UInt64(sound.count)))
      case 1: bad.append(contentsOf: [0, 1, 2])
      case 2:
        // Among the header's numbers too, which say how much to read.
        bad[Int(random.next() % 700)] ^= UInt8(1 + random.next() % 255)
      default: bad[Int(random.next() % UInt64(sound.count))] ^= UInt8(1 + random.next() % 255)
      }
      try put(bad)
      let cached = try ask()
      // Pages before the damage count; bytes between header and pages are nobody's.
      #expect(cached < 88 || bad.count == sound.count)
      #expect(try ask() == 88, "a sound file has taken its place")
    }
    try put(sound)
    #expect(chmod(path, 0o666) == 0)
    #expect(try ask() == 0, "others may write to it")
    try put(Data(repeating: 7, count: 9000))
    #expect(try ask() == 0)
    // Another model, by its name and by what it computes.
    try put(sound)
    let other = SimulatedBackend(
      world: backend.world, pageTokens: 4, bytesPerPage: 1000, name: "another")
    let engine = try Self.engine(other, stored: 0, folder: folder)
    let run = try engine.makeRun(prompt: prompt, seed: 8)
    try run.advanceBlocking([run.root], Advance(maxTokens: 1))
    #expect(run.statistics.cachedPromptTokens == 0)
    engine.shutdown()
  }

  @Test("weights that differ are another model, under the same name")
  func otherWeights() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func ask(_ fixture: TransformerFixture) throws -> Int {
      let engine = try Self.engine(fixture.backend(), stored: 0, folder: folder)
      defer { engine.shutdown() }
      return try questions(engine, fixture, length: 100).cached[0]
    }
    let fixture = try TransformerFixture(seed: 81, type: .f16)
    #expect(try ask(fixture) == 0)
    #expect(try ask(fixture) == 96)
    let norms = try TransformerFixture(seed: 81, type: .f16, norms: true)
    #expect(try ask(norms) == 0)
  }

  @Test("engines that use one folder at once do each other no harm")
  func sharedFolder() async throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for worker in 0..<4 {
        group.addTask {
          for round in 0..<12 {
            let backend = Self.backend()
            // Small enough that files go while others read them.
            let engine = try Self.engine(
              backend, stored: 0, folder: folder, folderBytes: 4 * 5_000)
            let prompt = self.tokens(60, 1) + self.tokens(40, UInt64((worker + round) % 5))
            let run = try engine.makeRun(prompt: prompt)
            try await run.advance([run.root], Advance(maxTokens: 8))
            expectTrue(run.root, to: backend.world, prompt: prompt)
            engine.shutdown()
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(files(folder).allSatisfy { $0.hasSuffix(".martlet-prefix") }, "nothing left behind")
  }

  @Test("a class whose rows depend on their batch keeps nothing")
  func notInvariant() throws {
    do { try NumericClass.openBLAS.validate() } catch { return }
    let fixture = try TransformerFixture(seed: 81, numericClass: .openBLAS)
    let error = engineError { try Self.engine(fixture.backend(), folder: folder()) }
    #expect(error?.code == .argument && error?.message.contains("openblas") == true)
    let engine = try Self.engine(fixture.backend())
    defer { engine.shutdown() }
    #expect(try questions(engine, fixture, length: 100).cached == [0, 0, 0])
  }

  @Test("a folder that cannot be had is an error of opening")
  func badFolder() {
    let error = engineError {
      try Self.engine(Self.backend(), folder: "/proc/martlet")
    }
    #expect(error?.code == .file && error?.message.contains("/proc/martlet") == true)
    #expect(engineError { try Self.engine(Self.backend(), stored: -1) }?.code == .argument)
  }
}
