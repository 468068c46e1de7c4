import Foundation
import MartletEngine
import MartletKernels
import MartletMachine
import MartletModel
import MartletSimulation
import Testing

/// Positions that are left out for good: what that may not change, and that it depends on nothing but the
/// sequence.
@Suite("Pruning", .serialized)
struct PruningTests {
  typealias Outcome = LongPrompt.Outcome

  static func fixture(_ seed: UInt64 = 81, layers: Int = 2) throws -> TransformerFixture {
    try TransformerFixture(seed: seed, type: .f16, layers: layers, context: 1_000)
  }

  /// Branches of a long prompt, one of them truncated and all resampled half way, with text appended.
  static func generate(
    _ fixture: TransformerFixture, _ attention: AttentionMethod, width: Int = 2, prompt: Int = 330,
    kvType: KVType? = nil, threads: Int = 2, chunk: Int = 128, drafting: Drafting = .off,
    beside: Int = 0, appended: Int = 0
  ) throws -> Outcome {
    try LongPrompt(prompt: prompt, besidePrompt: 290, before: 45, kept: 18, after: 30).generate(
      fixture, attention, width: width, kvType: kvType, threads: threads, chunk: chunk,
      drafting: drafting, beside: beside, appended: appended)
  }

  static let few: [AttentionMethod] = [
    .heavyHitters(.init(heavy: 40, recent: 64)),
    .importance(.init(share: 0.25, minimumPositions: 64, sinks: 8, recent: 40)),
    stages(.lazy, [0.5, 0.2]), stages(.slim, [0.5, 0.2]),
  ]

  private static func stages(
    _ scheme: AttentionMethod.PromptPruning.Scheme, _ shares: [Double], from minimum: Int = 64
  ) -> AttentionMethod {
    .pruned(
      .init(
        scheme: scheme,
        stages: zip([0.3, 0.6], shares).map { .init(depth: $0, share: $1) },
        minimumPositions: minimum))
  }

  static let all: [AttentionMethod] = [
    .heavyHitters(.init(heavy: 900, recent: 1)),
    .importance(.init(share: 1, minimumPositions: 64)),
    .importance(.init(share: 0.1, minimumPositions: 600)),
    stages(.lazy, [1, 1]), stages(.slim, [1, 1]), stages(.lazy, [0.5, 0.1], from: 600),
  ]

  /// The states of later stages are as many bytes as those of the first.
  @Test("what is kept beside pages is part of what they are said to take", arguments: few)
  func bytes(method: AttentionMethod) throws {
    let fixture = try Self.fixture(layers: 3)
    let backend = try TransformerBackend(
      parts: fixture.parts, team: ThreadTeam(threads: 1),
      options: .init(maximumBatchTokens: 128, attention: method))
    let engine = try Engine(backend: backend)
    defer { engine.shutdown() }
    let run = try engine.makeRun(prompt: fixture.tokens(640, seed: 3), seed: 1)
    let branches = try run.root.fork(3)
    // Every branch chooses other tokens, which come back.
    try run.advanceBlocking(branches, Advance(maxTokens: 30))
    let beside = backend.bytesPerPage - backend.prefixPageBytes
    let promptPages = 640 / backend.pageTokens
    #expect(backend.heldStateBytes <= promptPages * beside)
    guard case .pruned(let pruning) = method else { return }
    let ofOneStage = promptPages * backend.pageTokens * fixture.parts.configuration.width * 4
    #expect(backend.heldStateBytes >= ofOneStage)
    if pruning.scheme == .lazy { #expect(backend.heldStateBytes > ofOneStage, "nothing came back") }
  }

  @Test("nothing left out is exact attention, bit for bit", arguments: all)
  func everything(method: AttentionMethod) throws {
    let fixture = try Self.fixture(layers: 3)
    #expect(
      try Self.generate(fixture, method, kvType: .int8)
        == Self.generate(fixture, .exact, kvType: .int8))
  }

  @Test("bits depend on the sequence alone", arguments: few)
  func invariance(method: AttentionMethod) throws {
    let fixture = try Self.fixture(layers: 3)
    let reference = try Self.generate(fixture, method)
    #expect(try reference != Self.generate(fixture, .exact), "nothing was left out")
    #expect(
      try Self.generate(fixture, method, threads: 1, chunk: 37) == reference,
      "one thread, short chunks")
    #expect(try Self.generate(fixture, method, beside: 2) == reference, "beside other runs")
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
    let fixture = try Self.fixture(layers: 3)
    for (prompt, chunk) in [(500, 33), (300, 300), (160, 1), (20, 33)] {
      #expect(
        try Self.generate(fixture, method, prompt: prompt, chunk: chunk, appended: 130)
          == Self.generate(fixture, method, prompt: prompt, appended: 130),
        "\(prompt) tokens, chunks of \(chunk)")
    }
  }

  @Test("a branch that was cut back far goes on as one that never went so far", arguments: few)
  func cutBack(method: AttentionMethod) throws {
    let fixture = try Self.fixture(layers: 3)
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

  @Test("what prompts that lose tokens cannot give is refused")
  func refusals() throws {
    let method = Self.few[2]
    let backend = try Self.fixture(layers: 3).backend(attention: method)
    #expect(engineError { try backend.part(layers: [0, 2]) }?.code == .argument)
    #expect(backend.hiddenWidth == nil && backend.mostExitLayers == 1)
    let alone = try Self.fixture(layers: 1)
    #expect(
      engineError { try alone.backend(attention: method) }?.message.contains("has one") ?? false)
    try backend.reservePages(8)
    let logits = try LogitsBuffer(rows: 1, vocabulary: backend.vocabularySize)
    func forward(_ positions: Range<Int>, logitsAt wanted: Int) -> EngineError? {
      engineError {
        try backend.forward(
          ForwardBatch(
            tokens: positions.map {
              BatchToken(token: 3, position: $0, sequence: 0, wantsLogits: $0 == wanted)
            }, sequences: [[0, 1, 2, 3]], promptTokens: [100]), logits: logits)
      }
    }
    #expect(forward(0..<64, logitsAt: 9)?.message.contains("after position 9") ?? false)
    // Pages that nobody filled before the prompt's end.
    #expect(forward(64..<100, logitsAt: 99)?.message.contains("are not there") ?? false)
    #expect(forward(0..<64, logitsAt: -1) == nil && forward(64..<100, logitsAt: 99) == nil)
    let row = logits.row(0)
    // The last token again, as where its logits were not kept.
    #expect(forward(99..<100, logitsAt: 99) == nil && logits.row(0) == row)
    // And a prompt over the same pages.
    #expect(forward(0..<64, logitsAt: -1) == nil && forward(64..<100, logitsAt: 99) == nil)
    #expect(logits.row(0) == row)
  }

  @Test("names", arguments: ["h2o=1024", "critic=0.25", "lazyllm=0.3", "sliminfer=0.5"])
  func names(text: String) throws {
    #expect(try AttentionMethod.parse(text).name == text)
  }

  @Test(
    "bad names and settings are refused",
    arguments: [
      "h2o", "h2o=", "h2o=x", "h2o=1", "h2o=-4", "critic", "critic=", "critic=0", "critic=1.5",
      "critic=x", "critic=nan", "lazyllm", "lazyllm=0", "lazyllm=2", "sliminfer=", "sliminfer=-1",
      "sliminfer=nan",
    ])
  func badNames(text: String) {
    #expect(engineError { try AttentionMethod.parse(text) }?.code == .argument)
  }
}
