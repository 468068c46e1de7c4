import Foundation
import MartletEngine
import MartletKernels
import MartletMachine
import MartletModel
import MartletSimulation
import Testing

/// Attention that leaves positions out: what it may not change, and that it depends on nothing but the
/// sequence.
@Suite("Attention that retrieves", .serialized)
struct RetrievalTests {
  private typealias Outcome = LongPrompt.Outcome

  private static let context = 1_800
  private static func fixture(_ seed: UInt64 = 81) throws -> TransformerFixture {
    try TransformerFixture(seed: seed, type: .f16, context: context)
  }

  private static func retrieve(
    wanted: Int? = nil, tolerance: Double = 0.02
  ) -> AttentionMethod {
    .retrieve(
      .init(
        tolerance: tolerance, wanted: wanted, minimumPositions: 1024, recent: 64, nibbles: 16))
  }

  /// Branches of a long prompt, one of them truncated and all resampled half way.
  private func generate(
    _ fixture: TransformerFixture, _ attention: AttentionMethod, width: Int = 2,
    prompt: Int = 1_300,
    kvType: KVType? = nil, threads: Int = 2, chunk: Int = 128, drafting: Drafting = .off,
    beside: Int = 0
  ) throws -> Outcome {
    try LongPrompt(prompt: prompt, besidePrompt: 1_100, before: 70, kept: 33, after: 50).generate(
      fixture, attention, width: width, kvType: kvType, threads: threads, chunk: chunk,
      drafting: drafting, beside: beside)
  }

  @Test("all positions found are exact attention, bit for bit", arguments: KVType.allCases)
  func everything(kvType: KVType) throws {
    let fixture = try Self.fixture()
    let exact = try generate(fixture, .exact, kvType: kvType)
    #expect(try generate(fixture, Self.retrieve(wanted: 1 << 20), kvType: kvType) == exact)
    #expect(try generate(fixture, .window(recent: 1_700, sinks: 32), kvType: kvType) == exact)
  }

  @Test("no tolerance is exact attention, and few positions are not")
  func tolerance() throws {
    let fixture = try Self.fixture()
    let exact = try generate(fixture, .exact)
    #expect(try generate(fixture, Self.retrieve(tolerance: 0)) == exact)
    #expect(try generate(fixture, Self.retrieve(wanted: 16)) != exact, "the index was never used")
    #expect(try generate(fixture, .window(recent: 64, sinks: 32)) != exact)
    // Below the length where it begins there is nothing to see of it.
    #expect(
      try generate(fixture, Self.retrieve(wanted: 16), prompt: 600)
        == generate(fixture, .exact, prompt: 600))
  }

  @Test(
    "bits depend on the sequence alone",
    arguments: [
      retrieve(wanted: 24), retrieve(tolerance: 0.2),
      .window(recent: 100, sinks: 32),
    ])
  func invariance(method: AttentionMethod) throws {
    let fixture = try Self.fixture()
    let reference = try generate(fixture, method)
    #expect(try generate(fixture, method, threads: 1) == reference, "one thread")
    #expect(try generate(fixture, method, chunk: 37) == reference, "short chunks")
    #expect(try generate(fixture, method, beside: 3) == reference, "beside other runs")
    #expect(
      try generate(fixture, method, drafting: Drafting([.siblings, .ngram])) == reference, "drafts")
    let wide = try generate(fixture, method, width: 6)
    // The first branches of a wider population descend from the same ancestors.
    #expect(wide.texts[0] == reference.texts[0] && wide.logprobs[0] == reference.logprobs[0])
  }

  @Test("prompts too short to learn from are indexed by what follows them")
  func shortPrompt() throws {
    let fixture = try Self.fixture()
    func run(_ method: AttentionMethod) throws -> Outcome {
      let engine = try Engine(backend: fixture.backend(threads: 2, attention: method))
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: fixture.tokens(20, seed: 5), seed: 3)
      try run.advanceBlocking([run.root], Advance(maxTokens: 1_200))
      return Outcome(texts: [run.root.tokens], logprobs: [run.root.logprobs])
    }
    let exact = try run(.exact)
    #expect(try run(Self.retrieve(wanted: 1 << 20)) == exact)
    let few = try run(Self.retrieve(wanted: 16))
    #expect(few.texts[0].prefix(1_003) == exact.texts[0].prefix(1_003), "below the least length")
    #expect(few != exact, "the index was never used")
  }

  @Test("branches that part before there is an index have the bits they have alone")
  func branchesOfAShortPrompt() throws {
    let fixture = try Self.fixture()
    func texts(_ wanted: [Int]) throws -> [Outcome] {
      let engine = try Engine(
        backend: fixture.backend(threads: 2, attention: Self.retrieve(wanted: 16)))
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: fixture.tokens(20, seed: 5), seed: 3)
      try run.advanceBlocking([run.root], Advance(maxTokens: 180))
      let branches = try run.root.fork(2)
      try run.advanceBlocking(wanted.map { branches[$0] }, Advance(maxTokens: 1_000))
      return wanted.map { Outcome(texts: [branches[$0].tokens], logprobs: [branches[$0].logprobs]) }
    }
    let together = try texts([0, 1])
    #expect(together[0] != together[1])
    #expect(try texts([0]) == [together[0]])
    #expect(try texts([1]) == [together[1]])
  }

  @Test("long appended text does not depend on how passes divide it", arguments: [40, 128, 512])
  func appendedText(chunk: Int) throws {
    let fixture = try Self.fixture()
    func run(_ method: AttentionMethod, chunk: Int, drafting: Drafting = .off) throws -> Outcome {
      let backend = try fixture.backend(threads: 2, attention: method)
      let engine = try Engine(
        backend: drafting.isOn ? PricedBackend(nearlyFree: backend) : backend,
        configuration: .init(prefillChunk: chunk))
      defer { engine.shutdown() }
      let run = try engine.makeRun(
        prompt: fixture.tokens(1_300, seed: 5), seed: 3, drafting: drafting)
      try run.root.append(tokens: fixture.tokens(500, seed: 6))
      try run.advanceBlocking([run.root], Advance(maxTokens: 20))
      return Outcome(texts: [run.root.tokens], logprobs: [run.root.logprobs])
    }
    let retrieve = Self.retrieve(wanted: 16)
    #expect(try run(retrieve, chunk: chunk) == run(retrieve, chunk: 64))
    #expect(try run(Self.retrieve(wanted: 1 << 20), chunk: chunk) == run(.exact, chunk: 64))
  }

  @Test(
    "names",
    arguments: [
      "exact", "retrieve=0.02", "retrieve=0.1,from=4096", "window=4096", "retrieve=0.02,recent=256",
      "retrieve=0.05,from=2048,most=20,wanted=64,sinks=0,recent=1,nibbles=64",
    ])
  func names(text: String) throws {
    #expect(try AttentionMethod.parse(text).name == text)
  }

  @Test(
    "bad names and settings are refused",
    arguments: [
      "", "exactly", "retrieve=", "retrieve=x", "retrieve=2", "retrieve=-1", "window", "window=0",
      "window=x", "retrieve=0.02,", "retrieve=0.02,from=", "retrieve=0.02,from=12",
      "retrieve=0.02,to=9", "retrieve=0.02,recent=0", "retrieve=0.02,wanted=-1",
      "retrieve=0.02,most=101", "retrieve=0.02,most=-1", "retrieve=0.02,nibbles=12",
      "retrieve=0.02,sinks=x", "retrieve=0.02,recent=1=2",
    ])
  func badNames(text: String) {
    #expect(engineError { try AttentionMethod.parse(text) }?.code == .argument)
  }

  @Test("where every head needs too much, nothing searches")
  func nothingSearches() throws {
    let fixture = try Self.fixture()
    func report(_ attention: AttentionMethod) throws -> RetrievalReport? {
      let backend = try fixture.backend(threads: 2, kvType: .f32, attention: attention)
      let engine = try Engine(backend: backend, configuration: .init())
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: fixture.tokens(1_300, seed: 5), seed: 3)
      try run.advanceBlocking([run.root], Advance(maxTokens: 20))
      return backend.retrievalReport
    }
    let none = try #require(try report(Self.retrieve(tolerance: 0)))
    #expect(none.wanted.allSatisfy { $0 == nil } && none.error == 0)
    let all = try #require(try report(Self.retrieve(tolerance: 1)))
    // 16 of a hundred of 1,280.
    #expect(all.wanted.allSatisfy { ($0 ?? .max) <= 204 })
  }

  @Test("a head that has to find more than pays stays exact", arguments: [1, 5, 20, 100])
  func mostFound(percent: Int) throws {
    let fixture = try Self.fixture()
    func wanted(_ percent: Int) throws -> [Int?] {
      let attention = AttentionMethod.retrieve(
        .init(
          tolerance: 0.3, minimumPositions: 1024, mostPercent: percent, recent: 64, nibbles: 16))
      let backend = try fixture.backend(threads: 2, kvType: .f32, attention: attention)
      let engine = try Engine(backend: backend, configuration: .init())
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: fixture.tokens(1_300, seed: 5), seed: 3)
      try run.advanceBlocking([run.root], Advance(maxTokens: 4))
      return try #require(backend.retrievalReport).wanted
    }
    let (some, all) = (try wanted(percent), try wanted(100))
    #expect(all.contains { $0 != nil }, "no head ever searches")
    for (few, many) in zip(some, all) {
      // What pays decides whether a head searches, the tolerance how much it finds.
      guard let few else { continue }
      #expect(few <= 1_280 * percent / 100 && many != nil)
    }
    if percent == 1 {
      #expect(some.count { $0 != nil } < all.count { $0 != nil }, "a hundredth is enough for all")
    }
  }

  @Test("where lines of time cross")
  func crossing() {
    func crossing(_ exact: [Double], _ search: [Double]) -> Int {
      RetrievalCrossing.crossing(exact, search)
    }
    // 1 µs a position against 4 ms and nothing a position: 4,400 positions with the gain of a tenth.
    #expect(crossing([4.096e-3, 16.384e-3], [4e-3, 4e-3]) == 5_120)
    #expect(crossing([1, 4], [0.1, 0.2]) == RetrievalCrossing.range.lowerBound)
    #expect(crossing([1, 4], [2, 6]) == RetrievalCrossing.range.upperBound, "never")
    #expect(crossing([1, 4], [900, 900]) == RetrievalCrossing.range.upperBound, "too late")
  }

  @Test("how much a search may find to stay faster")
  func mostPart() {
    func most(_ exact: Double, _ search: [Double]) -> Double {
      RetrievalCrossing.mostPart(exact: exact, parts: [0.01, 0.11], search: search)
    }
    // 1 ms for a hundredth and 1 ms more for each further one: 10 ms in 1.1 are 0.091.
    #expect(abs(most(10, [1, 11]) - (0.01 + (10 / 1.1 - 1) / 100)) < 1e-12)
    #expect(most(1, [2, 3]) == 0, "a search that finds next to nothing is slower already")
    #expect(most(10, [1, 1]) == 0.5, "what is found costs nothing")
    #expect(most(10, [1, 0.9]) == 0.5, "noise")
  }

  @Test("where retrieval begins is given, measured, kept or the standard")
  func minimum() throws {
    let fixture = try Self.fixture()
    let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID())").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let team = try ThreadTeam(threads: 2)
    let tuner = Autotuner(
      parts: fixture.parts, options: .init(), store: TuningStore(path: folder))
    func choose(_ from: Int?, _ effort: Autotuner.Effort, most: Int? = nil) throws -> String? {
      try tuner.retrievalCrossing(
        .init(minimumPositions: from, mostPercent: most), effort: effort, team: team
      ).map { "\($0.found.positions), \($0.found.mostPercent) % \($0.origin)" }
    }
    #expect(try choose(4_096, .quick) == "4096, 16 % given")
    #expect(try choose(4_096, .quick, most: 30) == "4096, 30 % given")
    #expect(try choose(nil, .off) == nil)
    #expect(try choose(nil, .none) == nil)
    // On a busy machine nothing is believed, nor kept.
    guard let found = try choose(nil, .quick) else { return }
    #expect(found.hasSuffix(" measured"))
    let kept = found.replacing("measured", with: "cached")
    #expect(try choose(nil, .none) == kept)
    #expect(try choose(nil, .none, most: 30)?.hasSuffix(", 30 % cached") ?? false)
  }

  @Test("a model with a window of its own keeps it")
  func ownWindow() throws {
    let fixture = try TransformerFixture(seed: 71, window: 40)
    let error = engineError { try fixture.backend(attention: .retrieve(.init())) }
    #expect(error?.code == .argument && error?.message.contains("window of 40") ?? false)
  }
}
