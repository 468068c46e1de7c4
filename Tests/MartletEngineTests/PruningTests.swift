import Foundation
import MartletEngine
import MartletKernels
import MartletMachine
import MartletModel
import Testing

/// Positions that are left out for good: what that may not change, and that it depends on nothing but the
/// sequence.
@Suite("Pruning", .serialized)
struct PruningTests {
  struct Outcome: Equatable {
    var texts: [[Token]] = []
    var logprobs: [[Float]] = []
  }

  static func fixture(_ seed: UInt64 = 81, layers: Int = 2) throws -> TransformerFixture {
    try TransformerFixture(seed: seed, type: .f16, layers: layers, context: 1_000)
  }

  /// Branches of a long prompt, one of them truncated and all resampled half way, with text appended.
  static func generate(
    _ fixture: TransformerFixture, _ attention: AttentionMethod, width: Int = 2, prompt: Int = 500,
    kvType: KVType? = nil, threads: Int = 2, chunk: Int = 128, drafting: Drafting = .off,
    beside: Int = 0, appended: Int = 0
  ) throws -> Outcome {
    let backend = try fixture.backend(threads: threads, kvType: kvType, attention: attention)
    let engine = try Engine(
      backend: drafting.isOn ? FreeRows(backend) : backend,
      configuration: .init(prefillChunk: chunk))
    defer { engine.shutdown() }
    var sampling = SamplingOptions()
    // Cool enough to repeat itself, so that guesses come true.
    sampling.temperature = 0.2
    var others: [Branch] = []
    for other in 0..<beside {
      // Another long prompt on the same pages, before and during the run.
      let run = try engine.makeRun(
        prompt: fixture.tokens(460 + 37 * other, seed: 90 + UInt64(other)), seed: 1)
      try run.advanceBlocking([run.root], Advance(maxTokens: 9))
      others.append(run.root)
    }
    let run = try engine.makeRun(
      prompt: fixture.tokens(prompt, seed: 5), seed: 3, sampling: sampling, drafting: drafting)
    if appended > 0 { try run.root.append(tokens: fixture.tokens(appended, seed: 6)) }
    var branches = try run.root.fork(width)
    try run.advanceBlocking(branches, Advance(maxTokens: 70))
    try branches[0].truncate(toGenerated: appended + 33)
    branches = try run.resample(branches, ancestors: branches.indices.map { $0 / 2 })
    try run.advanceBlocking(branches, Advance(maxTokens: 50))
    if !drafting.sources.isEmpty {
      #expect(run.statistics.draftedTokens > 0, "nothing drafted: the test shows nothing")
    }
    let outcome = Outcome(texts: branches.map(\.tokens), logprobs: branches.map(\.logprobs))
    for branch in branches + others { branch.release() }
    run.root.release()
    #expect(engine.pagesInUse == 0)
    return outcome
  }

  static let few: [AttentionMethod] = [
    .heavyHitters(.init(heavy: 40, recent: 64)),
    .importance(.init(share: 0.25, minimumPositions: 64, sinks: 8, recent: 40)),
  ]
  static let all: [AttentionMethod] = [
    .heavyHitters(.init(heavy: 900, recent: 1)),
    .importance(.init(share: 1, minimumPositions: 64)),
    .importance(.init(share: 0.1, minimumPositions: 600)),
  ]

  @Test("nothing left out is exact attention, bit for bit", arguments: all)
  func everything(method: AttentionMethod) throws {
    let fixture = try Self.fixture()
    for type in [KVType.f16, .int8] {
      #expect(
        try Self.generate(fixture, method, kvType: type)
          == Self.generate(fixture, .exact, kvType: type))
    }
  }

  @Test("bits depend on the sequence alone", arguments: few)
  func invariance(method: AttentionMethod) throws {
    let fixture = try Self.fixture()
    let reference = try Self.generate(fixture, method)
    #expect(try reference != Self.generate(fixture, .exact), "nothing was left out")
    #expect(try Self.generate(fixture, method, threads: 1) == reference, "one thread")
    #expect(try Self.generate(fixture, method, chunk: 37) == reference, "short chunks")
    #expect(try Self.generate(fixture, method, beside: 3) == reference, "beside other runs")
    #expect(
      try Self.generate(fixture, method, drafting: Drafting([.siblings, .ngram])) == reference,
      "drafts")
    let wide = try Self.generate(fixture, method, width: 6)
    // The first branches of a wider population descend from the same ancestors.
    #expect(wide.texts[0] == reference.texts[0] && wide.logprobs[0] == reference.logprobs[0])
  }

  /// Text that is appended meets the end of the prompt, and several ends of pages, in one pass.
  @Test("appended text is cut into passes anyhow", arguments: few)
  func appended(method: AttentionMethod) throws {
    let fixture = try Self.fixture()
    for prompt in [500, 160, 20] {
      let reference = try Self.generate(fixture, method, prompt: prompt, appended: 230)
      for chunk in [1, 33, 300] {
        #expect(
          try Self.generate(fixture, method, prompt: prompt, chunk: chunk, appended: 230)
            == reference, "\(prompt) tokens, chunks of \(chunk)")
      }
    }
  }

  @Test("a branch that was cut back far goes on as one that never went so far", arguments: few)
  func cutBack(method: AttentionMethod) throws {
    let fixture = try Self.fixture()
    func run(detour: Bool) throws -> [Float] {
      let engine = try Engine(backend: fixture.backend(threads: 2, attention: method))
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: fixture.tokens(300, seed: 5), seed: 3)
      let branch = run.root
      try branch.append(tokens: fixture.tokens(100, seed: 6))
      if detour {
        try run.advanceBlocking([branch], Advance(maxTokens: 170))
        try branch.truncate(toGenerated: 100)
      }
      // The same text either way: its log-probabilities show what it attended to.
      try branch.append(tokens: fixture.tokens(90, seed: 7))
      var greedy = Advance(maxTokens: 40)
      greedy.sampling = .greedy
      try run.advanceBlocking([branch], greedy)
      return Array(branch.logprobs.dropFirst(190))
    }
    #expect(try run(detour: true) == run(detour: false))
  }

  @Test("names", arguments: ["h2o=1024", "critic=0.25"])
  func names(text: String) throws {
    #expect(try AttentionMethod.parse(text).name == text)
  }

  @Test(
    "bad names and settings are refused",
    arguments: [
      "h2o", "h2o=", "h2o=x", "h2o=1", "h2o=-4", "critic", "critic=", "critic=0", "critic=1.5",
      "critic=x", "critic=nan",
    ])
  func badNames(text: String) {
    #expect(engineError { try AttentionMethod.parse(text) }?.code == .argument)
  }
}
