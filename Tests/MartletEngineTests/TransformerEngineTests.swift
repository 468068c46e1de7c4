import MartletEngine
import MartletKernels
import MartletModel
import Testing

/// A transformer under the engine: what a user sees of batch invariance, and that pages return.
@Suite(.serialized) struct TransformerEngineTests {
  private func generate(
    _ engine: Engine, _ prompt: [Token], seed: UInt64, count: Int = 40
  ) async throws -> [Token] {
    let run = try engine.makeRun(prompt: prompt, seed: seed)
    try await run.advance([run.root], Advance(maxTokens: count))
    return run.root.tokens
  }

  /// The same tokens alone, in a crowd of 16, with 1 or 2 threads, whatever the prefill chunk.
  @Test func theSameTextAloneAndInACrowd() async throws {
    let fixture = try TransformerFixture(seed: 61, type: .f16)
    let prompts = (0..<16).map { fixture.tokens(5 + 4 * $0, seed: UInt64(200 + $0)) }
    var alone: [[Token]] = []
    for (index, prompt) in prompts.enumerated() {
      let engine = try Engine(backend: fixture.backend())
      alone.append(try await generate(engine, prompt, seed: UInt64(index)))
      engine.shutdown()
    }
    #expect(Set(alone).count == 16)
    for (threads, chunk) in [(1, 256), (2, 256), (2, 7)] {
      let engine = try Engine(
        backend: fixture.backend(threads: threads), configuration: .init(prefillChunk: chunk))
      let crowd = try await withThrowingTaskGroup(of: (Int, [Token]).self) { group in
        for (index, prompt) in prompts.enumerated() {
          group.addTask {
            (index, try await generate(engine, prompt, seed: UInt64(index)))
          }
        }
        var results = [[Token]](repeating: [], count: prompts.count)
        for try await (index, tokens) in group { results[index] = tokens }
        return results
      }
      #expect(crowd == alone, "\(threads) threads, chunks of \(chunk)")
      engine.shutdown()
    }
  }

  @Test func forksShareAPromptAndReturnTheirPages() throws {
    let fixture = try TransformerFixture(seed: 62)
    let engine = try Engine(backend: fixture.backend(threads: 2))
    do {
      let run = try engine.makeRun(prompt: fixture.tokens(100, seed: 4), seed: 1)
      try run.advanceBlocking([run.root], Advance(maxTokens: 3))
      let before = engine.pagesInUse
      let children = try run.root.fork(32)
      #expect(engine.pagesInUse == before)
      try run.advanceBlocking(children, Advance(maxTokens: 10))
      #expect(Set(children.map(\.tokens)).count > 1)
      for child in children { child.release() }
      run.root.release()
    }
    #expect(engine.pagesInUse == 0)
    engine.shutdown()
  }
}
