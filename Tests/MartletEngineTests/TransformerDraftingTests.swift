import MartletEngine
import MartletKernels
import MartletModel
import MartletSimulation
import Testing

/// Trees of guesses through real attention and real pages: the same bits as plain decoding.
@Suite(.serialized) struct TransformerDraftingTests {
  private func generate(
    _ backend: PricedBackend, _ prompt: [Token], _ drafting: Drafting, width: Int,
    sampling: SamplingOptions
  ) throws -> (tokens: [[Token]], logprobs: [[Float]], run: RunStatistics) {
    let engine = try Engine(backend: backend)
    defer { engine.shutdown() }
    let run = try engine.makeRun(prompt: prompt, seed: 3, sampling: sampling, drafting: drafting)
    let branches = try run.root.fork(width)
    try run.advanceBlocking(branches, Advance(maxTokens: 150))
    let result = (branches.map(\.tokens), branches.map(\.logprobs), run.statistics)
    for branch in branches { branch.release() }
    run.root.release()
    #expect(engine.pagesInUse == 0)
    return result
  }

  @Test(arguments: [KVType.f32, .f16, .int8, .int4], [nil, 40])
  func theSameBits(kvType: KVType, window: Int?) throws {
    let fixture = try TransformerFixture(seed: 71, type: .f16, window: window)
    var sampling = SamplingOptions()
    // Cool enough to repeat itself, warm enough for siblings to part.
    sampling.temperature = 0.35
    let prompt = fixture.tokens(40, seed: 5)
    var moves = 0
    for width in [1, 6] {
      func run(_ drafting: Drafting) throws -> (
        tokens: [[Token]], logprobs: [[Float]], run: RunStatistics
      ) {
        let backend = PricedBackend(nearlyFree: try fixture.backend(threads: 2, kvType: kvType))
        defer { moves += backend.moves }
        return try generate(backend, prompt, drafting, width: width, sampling: sampling)
      }
      let plain = try run(.off)
      let drafted = try run(Drafting([.siblings]))
      #expect(drafted.tokens == plain.tokens)
      #expect(drafted.logprobs == plain.logprobs)
      #expect(drafted.run.acceptedTokens > 0, "nothing accepted: the test shows nothing")
    }
    #expect(moves > 0, "no accepted guess lay off its position: the test shows nothing")
  }
}
