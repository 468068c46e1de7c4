import MartletEngine
import MartletSimulation
import Testing

@Suite("Prompts and decoding in one pass")
struct MixedPassTests {
  /// A prompt of 2,000 tokens arrives while two branches decode: both get a token in every pass, and
  /// no pass is longer than they and the short chunk.
  @Test("a long prompt does not starve decoding, nor the other way round", arguments: [1, 7, 40])
  func mixed(chunk: Int) async throws {
    let engine = try Engine(
      backend: hashedBackend(cost: SimulatedCost(perForward: 0.0005, sleeps: true)),
      configuration: .init(prefillChunk: 256, mixedPrefillChunk: chunk))
    let recorder = Recorder()
    let decoding = try engine.makeRun(prompt: tokens("abc"), seed: 1, recorder: recorder)
    let branches = try decoding.root.fork(2)
    let prompt = (0..<2000).map { Int32($0 % 13) }
    let long = try engine.makeRun(prompt: prompt, seed: 2)

    async let decoded: Void = decoding.advance(branches, Advance(maxTokens: 200))
    #expect(await eventually { recorder.events.count > 20 })
    try await long.advance([long.root], Advance(maxTokens: 1))
    try await decoded

    #expect(long.root.tokens.count == 1 && branches.allSatisfy { $0.tokens.count == 200 })
    var passes: [(index: Int, rows: Int, own: Int)] = []
    for case .forwardBegan(let index, let rows, let runRows, _) in recorder.events.map(\.kind) {
      passes.append((index, rows, runRows))
    }
    let mixed = passes.filter { $0.rows > $0.own }
    #expect(mixed.count > 10, "the prompt and the decoding never met")
    for pass in mixed {
      #expect(pass.own == 2, "pass \(pass.index): \(pass.own) of 2 branches")
      #expect(pass.rows - pass.own <= chunk, "pass \(pass.index): \(pass.rows) rows")
    }
    // In every pass from the first to the last of them.
    let indices = mixed.map(\.index)
    #expect(indices == Array(indices[0]..<indices[0] + indices.count))
    // Prefill is not starved either: each of these passes takes as much of it as it may.
    #expect(mixed.dropLast().allSatisfy { $0.rows - $0.own == chunk })
  }

  @Test("alone, a prompt takes whole chunks") func alone() throws {
    let engine = try Engine(
      backend: hashedBackend(), configuration: .init(prefillChunk: 256, mixedPrefillChunk: 8))
    let run = try engine.makeRun(prompt: (0..<1024).map { Int32($0 % 13) })
    try run.advanceBlocking([run.root], Advance(maxTokens: 1))
    #expect(engine.statistics.batchHistogram == [256: 4])
  }
}
