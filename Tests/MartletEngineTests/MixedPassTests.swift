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

  @Test("alone, a prompt takes whole chunks") func alone() throws {
    let engine = try Engine(
      backend: hashedBackend(), configuration: .init(prefillChunk: 256, mixedPrefillChunk: 8))
    let run = try engine.makeRun(prompt: (0..<1024).map { Int32($0 % 13) })
    try run.advanceBlocking([run.root], Advance(maxTokens: 1))
    #expect(engine.statistics.batchHistogram == [256: 4])
  }
}
