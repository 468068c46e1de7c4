import MartletEngine
import MartletSimulation
import Testing

@Suite("Prompts and decoding in one pass")
struct MixedPassTests {
  /// A prompt of 600 tokens arrives while two branches decode: both get a token in every pass, and
  /// no pass is longer than they and the short chunk.
  @Test("a long prompt does not starve decoding, nor the other way round", arguments: [1, 7, 40])
  func mixed(chunk: Int) throws {
    // So many tokens that they are decoding still when the prompt is done.
    let engine = try Engine(
      backend: hashedBackend(cost: SimulatedCost(perForward: 0.0005, sleeps: true)),
      configuration: .init(prefillChunk: 256, mixedPrefillChunk: chunk, overrun: 10_000))
    let recorder = Recorder()
    let decoding = try engine.makeRun(prompt: tokens("abc"), seed: 1, recorder: recorder)
    let branches = try decoding.root.fork(2)
    try decoding.advanceBlocking(branches, Advance(maxTokens: 1))
    let long = try engine.makeRun(prompt: (0..<600).map { Int32($0 % 13) }, seed: 2)

    try decoding.submit(branches, Advance(maxTokens: 4000))
    try long.advanceBlocking([long.root], Advance(maxTokens: 1))
    let events = recorder.events.map(\.kind)
    engine.shutdown()

    #expect(long.root.tokens.count == 1)
    var mixed: [(index: Int, rows: Int, own: Int)] = []
    for case .forwardBegan(let index, let rows, let runRows, _) in events where rows > runRows {
      mixed.append((index, rows, runRows))
    }
    #expect(mixed.count == (600 + chunk - 1) / chunk)
    let first = try #require(mixed.first, "the prompt and the decoding never met")
    for (offset, pass) in mixed.enumerated() {
      #expect(pass.index == first.index + offset, "a pass without the branches that decode")
      #expect(pass.own == 2, "pass \(pass.index): \(pass.own) of 2 branches")
    }
    // Nor is prefill starved: each of these passes takes as much of it as it may.
    #expect(mixed.dropLast().allSatisfy { $0.rows - $0.own == chunk })
    #expect(mixed.allSatisfy { $0.rows - $0.own <= chunk })
  }

  @Test("drafts go on beside prompts, take nothing from them and change no text")
  func drafts() throws {
    func play(_ drafting: Drafting) throws -> (
      texts: [[Int32]], others: [[Int32]], events: [EngineTraceEvent.Kind], largest: Int
    ) {
      let backend = repetitiveBackend(
        maximumBatch: 40, certainty: 40,
        cost: SimulatedCost(perForward: 0.0004, perRow: 0.000_01, sleeps: true))
      let engine = try Engine(
        backend: backend,
        configuration: .init(prefillChunk: 256, mixedPrefillChunk: 24, overrun: 10_000))
      defer { engine.shutdown() }
      let recorder = Recorder()
      let decoding = try engine.makeRun(
        prompt: tokens("abc"), seed: 1, drafting: drafting, recorder: recorder)
      let branches = try decoding.root.fork(3)
      try decoding.advanceBlocking(branches, Advance(maxTokens: 200))
      let long = try (0..<2).map {
        try engine.makeRun(prompt: (0..<700).map { Int32($0 % 13) }, seed: UInt64($0))
      }
      try decoding.submit(branches, Advance(maxTokens: 2000))
      for run in long { try run.submit([run.root], Advance(maxTokens: 5)) }
      for run in long { _ = try run.waitAny() }
      while try decoding.waitAny() != nil {}
      return (
        branches.map(\.tokens), long.map(\.root.tokens), recorder.events.map(\.kind),
        backend.statistics.largestBatch
      )
    }
    let plain = try play(.off)
    let drafted = try play(.auto)
    #expect(drafted.texts == plain.texts && drafted.others == plain.others)
    #expect(drafted.largest <= 40)
    var passes: [Int: (rows: Int, own: Int)] = [:]
    var guessed: [Int: Int] = [:]
    for event in drafted.events {
      switch event {
      case .forwardBegan(let index, let rows, let runRows, _): passes[index] = (rows, runRows)
      case .drafted(_, let forward, let nodes, _): guessed[forward, default: 0] += nodes
      default: break
      }
    }
    let chunks = passes.mapValues { $0.rows - $0.own }.map {
      ($0.key, $0.value - (guessed[$0.key] ?? 0))
    }
    #expect(chunks.allSatisfy { $0.1 <= 24 + 2 })
    let mixed = chunks.filter { $0.1 > 2 }
    #expect(mixed.contains { guessed[$0.0] != nil }, "nothing was guessed beside a prompt")
    // 1,400 tokens of prompts in chunks of 24, whatever was guessed beside them.
    #expect(mixed.count { $0.1 < 20 } <= 4)
  }

  @Test("guesses never take a page from a prompt beside them")
  func ceiling() throws {
    func play(_ drafting: Drafting, pages: Int) throws -> (done: Bool, texts: [[Int32]]) {
      let engine = try Engine(
        backend: repetitiveBackend(certainty: 40),
        configuration: .init(kvBytesLimit: pages * 1000, mixedPrefillChunk: 8))
      defer { engine.shutdown() }
      let decoding = try engine.makeRun(prompt: tokens("abc"), seed: 1, drafting: drafting)
      let branches = try decoding.root.fork(2)
      try decoding.advanceBlocking(branches, Advance(maxTokens: 20))
      let prompt = try engine.makeRun(prompt: (0..<60).map { Int32($0 % 13) }, seed: 2)
      try prompt.submit([prompt.root], Advance(maxTokens: 1))
      try decoding.advanceBlocking(branches, Advance(maxTokens: 30))
      _ = try prompt.waitAny()
      let all = branches + [prompt.root]
      return (all.allSatisfy { $0.stop == .tokens }, all.map(\.tokens))
    }
    // 2 × 14 pages of text and 15 of the prompt.
    var enough = 0
    for pages in 38...60 {
      let plain = try play(.off, pages: pages)
      guard plain.done else { continue }
      enough += 1
      let drafted = try play(.auto, pages: pages)
      #expect(drafted.done && drafted.texts == plain.texts, "\(pages) pages")
    }
    #expect(enough > 5)
  }

  @Test("alone, a prompt takes whole chunks") func alone() throws {
    let engine = try Engine(
      backend: hashedBackend(), configuration: .init(prefillChunk: 256, mixedPrefillChunk: 8))
    let run = try engine.makeRun(prompt: (0..<1024).map { Int32($0 % 13) })
    try run.advanceBlocking([run.root], Advance(maxTokens: 1))
    #expect(engine.statistics.batchHistogram == [256: 4])
  }
}
