import MartletEngine
import MartletSimulation
import Testing

@Suite("The same text whatever the schedule")
struct InvarianceTests {
  private let prompt = tokens("abc defg. hij ")

  private func text(
    alone seed: UInt64, maximumBatch: Int = 512, prefillChunk: Int = 256, overrun: Int = 8,
    pageTokens: Int = 4
  ) throws -> [Int32] {
    let backend = hashedBackend(pageTokens: pageTokens, maximumBatch: maximumBatch)
    let engine = try Engine(
      backend: backend, configuration: .init(prefillChunk: prefillChunk, overrun: overrun))
    let run = try engine.makeRun(prompt: prompt, seed: seed)
    try run.advanceBlocking([run.root], Advance(maxTokens: 40))
    expectTrue(run.root, to: backend.world, prompt: prompt)
    return run.root.tokens
  }

  @Test("alone, with other batch sizes, prefill chunks, page sizes and overruns")
  func configurations() throws {
    let reference = try text(alone: 5)
    #expect(reference.count == 40)
    #expect(try text(alone: 6) != reference)
    for batch in [1, 2, 3, 7] {
      for chunk in [1, 5, 256] {
        #expect(try text(alone: 5, maximumBatch: batch, prefillChunk: chunk) == reference)
      }
    }
    #expect(try text(alone: 5, overrun: 0, pageTokens: 32) == reference)
    #expect(try text(alone: 5, pageTokens: 1) == reference)
  }

  @Test("in a crowd of 16 runs", arguments: [1, 5, 512])
  func crowd(maximumBatch: Int) async throws {
    let reference = try (0..<16).map { try text(alone: UInt64($0)) }
    let engine = try Engine(
      backend: hashedBackend(maximumBatch: maximumBatch),
      configuration: .init(prefillChunk: 3, overrun: 64))
    let runs = try (0..<16).map { try engine.makeRun(prompt: prompt, seed: UInt64($0)) }
    // Submitted one after another by one thread, and free to go on while nobody waits: so they share
    // passes however busy the threads are that wait for them.
    for run in runs { try run.submit([run.root], Advance(maxTokens: 40)) }
    for run in runs { _ = try await run.nextEvent() }
    for (run, expected) in zip(runs, reference) { #expect(run.root.tokens == expected) }
    if maximumBatch == 512 {
      #expect(engine.statistics.forwards < 16 * 20, "runs did not share forwards")
    }
  }

  @Test("16 forks in one batch or one after another")
  func forks() throws {
    func forked(together: Bool) throws -> [[Int32]] {
      let backend = hashedBackend()
      let engine = try Engine(backend: backend)
      let run = try engine.makeRun(prompt: prompt, seed: 3)
      let children = try run.root.fork(16)
      if together {
        try run.advanceBlocking(children, Advance(maxTokens: 25))
      } else {
        for child in children.reversed() {
          try run.advanceBlocking([child], Advance(maxTokens: 25))
        }
      }
      for child in children { expectTrue(child, to: backend.world, prompt: prompt) }
      return children.map(\.tokens)
    }
    let together = try forked(together: true)
    #expect(Set(together).count == 16)
    #expect(try forked(together: false) == together)
  }
}
