import Foundation
import MartletEngine
import MartletKernels
import MartletModel
import MartletSimulation
import Synchronization
import Testing

/// Guesses that are computed: whatever they are, texts are the same bits; and good ones are used.
@Suite("Drafters that compute", .serialized)
struct ModelDraftingTests {
  struct Outcome {
    var texts: [[Token]]
    var logprobs: [[Float]]
    var run: RunStatistics
  }

  /// Forks, truncates, resamples and goes on, so that drafters see sequences come, part and shrink.
  private func generate(
    _ backend: any Backend, _ prompt: [Token], width: Int, temperature: Float = 0.8,
    count: Int = 60, configuration: EngineConfiguration = .init(),
    drafting: (any Backend) throws -> Drafting = { _ in .off }
  ) throws -> Outcome {
    let engine = try Engine(backend: backend, configuration: configuration)
    defer { engine.shutdown() }
    var sampling = SamplingOptions()
    sampling.temperature = temperature
    let run = try engine.makeRun(
      prompt: prompt, seed: 3, sampling: sampling, drafting: drafting(backend))
    var branches = try run.root.fork(width)
    try run.advanceBlocking(branches, Advance(maxTokens: count))
    try branches[0].truncate(toGenerated: count / 2)
    branches = try run.resample(branches, ancestors: branches.indices.map { $0 / 2 })
    try run.advanceBlocking(branches, Advance(maxTokens: count))
    let result = Outcome(
      texts: branches.map(\.tokens), logprobs: branches.map(\.logprobs), run: run.statistics)
    for branch in branches { branch.release() }
    run.root.release()
    #expect(engine.pagesInUse == 0)
    return result
  }

  private func expectSame(_ a: Outcome, _ b: Outcome, _ what: String) {
    #expect(a.texts == b.texts, "\(what)")
    #expect(a.logprobs == b.logprobs, "\(what)")
  }

  @Test(
    "a twin of the model guesses nearly everything, at any temperature", arguments: [0, 0.8, 1.5])
  func twin(temperature: Float) throws {
    let fixture = try TransformerFixture(seed: 71, type: .f16)
    let prompt = fixture.tokens(40, seed: 5)
    for width in [1, 5] {
      let plain = try generate(
        fixture.backend(threads: 2), prompt, width: width, temperature: temperature)
      let drafted = try generate(
        PricedBackend(nearlyFree: fixture.backend(threads: 2)), prompt, width: width,
        temperature: temperature
      ) { _ in
        Drafting([], drafter: try ModelDrafter(name: "twin", backend: fixture.backend(threads: 2)))
      }
      expectSame(plain, drafted, "width \(width)")
      // The twin draws with the same numbers from the same bits, so its first choice always comes;
      // where rows are free, second choices are tried beside it.
      #expect(drafted.run.acceptedTokens > 20)
      #expect(drafted.run.acceptedTokens * 2 > drafted.run.draftedTokens)
      #expect(drafted.run.forwards < plain.run.forwards)
    }
  }

  @Test("a stranger guesses badly and changes nothing")
  func stranger() throws {
    let fixture = try TransformerFixture(seed: 71, type: .f16)
    let other = try TransformerFixture(seed: 72, type: .f32, layers: 1)
    let prompt = fixture.tokens(33, seed: 6)
    let plain = try generate(fixture.backend(), prompt, width: 4)
    // A cache too small for all sequences, too.
    for bytes in [1 << 30, 3 * (try other.backend().bytesPerPage)] {
      let drafted = try generate(PricedBackend(nearlyFree: fixture.backend()), prompt, width: 4) {
        _ in
        Drafting(
          [.siblings],
          drafter: try ModelDrafter(name: "other", backend: other.backend(), byteLimit: bytes))
      }
      expectSame(plain, drafted, "\(bytes) bytes")
      #expect(drafted.run.guessedTokens > 0, "nothing guessed: the test shows nothing")
    }
  }

  @Test(
    "parts of the model work in its own pages", arguments: [KVType.f32, .f16, .int8, .int4],
    [nil, 40])
  func parts(kvType: KVType, window: Int?) throws {
    let fixture = try TransformerFixture(seed: 75, type: .f16, window: window, layers: 4)
    let prompt = fixture.tokens(30, seed: 7)
    for (width, layers) in [(1, [0, 1, 2]), (3, [0, 2, 3]), (4, [3]), (2, [0, 1, 2, 3])] {
      let plain = try generate(fixture.backend(kvType: kvType), prompt, width: width)
      let drafted = try generate(fixture.backend(kvType: kvType), prompt, width: width) {
        let whole = try #require($0 as? TransformerBackend)
        return Drafting(
          [],
          drafter: try ModelDrafter(
            name: "part", backend: whole.part(layers: layers), sharesPages: true))
      }
      expectSame(plain, drafted, "layers \(layers)")
      #expect(drafted.run.guessedTokens > 0, "nothing guessed: the test shows nothing")
      // The whole model guesses what it will say, where time lets it be tried at all.
      if layers.count == 4, drafted.run.draftedTokens > 0 {
        #expect(drafted.run.acceptedTokens > 0)
      }
    }
  }

  @Test("a ceiling of pages takes guesses, never tokens")
  func ceiling() throws {
    let fixture = try TransformerFixture(seed: 75, type: .f16, layers: 2)
    let prompt = fixture.tokens(30, seed: 7)
    // Room for three branches of 150 tokens and hardly more.
    let bytes = 15 * (try fixture.backend().bytesPerPage)
    let limits = EngineConfiguration(kvBytesLimit: bytes)
    let plain = try generate(fixture.backend(), prompt, width: 3, configuration: limits)
    let drafted = try generate(fixture.backend(), prompt, width: 3, configuration: limits) {
      let whole = try #require($0 as? TransformerBackend)
      return Drafting(
        [],
        drafter: try ModelDrafter(name: "part", backend: whole.part(layers: [0]), sharesPages: true)
      )
    }
    expectSame(plain, drafted, "at the ceiling")
  }

  @Test("layers that do nothing are found and left out")
  func search() throws {
    let fixture = try TransformerFixture(seed: 77, type: .f32, layers: 5)
    var parts = fixture.parts
    for idle in [1, 3] {
      let layer = parts.layers[idle]
      parts.layers[idle] = LayerWeights(
        attentionNorm: layer.attentionNorm, query: layer.query, key: layer.key, value: layer.value,
        attentionOutput: try zeros(like: layer.attentionOutput), queryBias: nil, keyBias: nil,
        valueBias: nil, queryNorm: nil, keyNorm: nil, feedForwardNorm: layer.feedForwardNorm,
        gate: layer.gate, up: layer.up, down: try zeros(like: layer.down))
    }
    let backend = try TransformerBackend(parts: parts, team: fixture.backend().team)
    let engine = try Engine(backend: backend)
    defer { engine.shutdown() }
    let layers = try engine.selfDraftLayers()
    #expect(!layers.contains(1) && !layers.contains(3), "\(layers)")
    #expect(engine.pagesInUse == 0)
  }

  private func zeros(like weights: PackedWeights) throws -> PackedWeights {
    let values = [Float](repeating: 0, count: weights.outputs * weights.depth)
    return try values.withUnsafeBytes {
      try PackedWeights(
        type: .f32, numericClass: .portable, outputs: weights.outputs, depth: weights.depth,
        source: $0)
    }
  }

  @Test("any tree at all is harmless")
  func anyTree() throws {
    let fixture = try TransformerFixture(seed: 71, type: .f16)
    let prompt = fixture.tokens(40, seed: 5)
    let plain = try generate(fixture.backend(), prompt, width: 4)
    for seed in 0..<6 as Range<UInt64> {
      let drafted = try generate(PricedBackend(nearlyFree: fixture.backend()), prompt, width: 4) {
        _ in
        Drafting([], drafter: RandomDrafter(seed: seed))
      }
      expectSame(plain, drafted, "trees of seed \(seed)")
      #expect(drafted.run.draftedTokens > 0, "nothing drafted: the test shows nothing")
    }
  }

  @Test("a drafter that fails is not asked again")
  func failing() throws {
    let fixture = try TransformerFixture(seed: 71, type: .f16)
    let prompt = fixture.tokens(40, seed: 5)
    let plain = try generate(fixture.backend(), prompt, width: 2)
    let failing = FailingDrafter()
    let drafted = try generate(fixture.backend(), prompt, width: 2) { _ in
      Drafting([], drafter: failing)
    }
    expectSame(plain, drafted, "with a failing drafter")
    #expect(failing.calls.withLock { $0 } == 1)
  }

  @Test("a drafter that never helps is hardly asked")
  func useless() throws {
    let fixture = try TransformerFixture(seed: 71, type: .f16)
    let drafter = UselessDrafter()
    let engine = try Engine(backend: fixture.backend())
    defer { engine.shutdown() }
    let run = try engine.makeRun(
      prompt: fixture.tokens(4, seed: 1), drafting: Drafting([], drafter: drafter))
    try run.advanceBlocking([run.root], Advance(maxTokens: 500))
    let calls = drafter.calls.withLock { $0 }
    #expect(calls > 0 && calls * 8 < run.statistics.forwards, "\(calls)")
  }

  @Test("drafters of other models are refused")
  func refusals() throws {
    let fixture = try TransformerFixture(seed: 71, type: .f16)
    let whole = try fixture.backend()
    let other = try ModelDrafter(
      name: "part of another", backend: fixture.backend().part(layers: [0]), sharesPages: true)
    let engine = try Engine(backend: whole)
    defer { engine.shutdown() }
    let error = engineError {
      try engine.makeRun(prompt: [1], drafting: Drafting([], drafter: other))
    }
    #expect(error?.code == .argument && error?.message.contains("part of another") ?? false)
    for layers in [[], [2], [1, 0], [0, 0], [-1]] {
      #expect(engineError { try whole.part(layers: layers) }?.code == .argument, "\(layers)")
    }
    let unopened = engineError { try engine.makeRun(prompt: [1], drafting: .parse("self")) }
    #expect(unopened?.code == .argument && unopened?.message.contains("self") ?? false)
    let simulated = try Engine(backend: repetitiveBackend(pageTokens: 4))
    defer { simulated.shutdown() }
    #expect(engineError { try simulated.selfDraftLayers() }?.code == .argument)
  }
}

/// Trees of any shape over any tokens, some outside the vocabulary, all said to be certain.
private final class RandomDrafter: Drafter {
  let name = "random"
  private let random: Mutex<SplitMix>
  init(seed: UInt64) { random = Mutex(SplitMix(seed)) }
  func propose(
    _ sequences: [DraftSequence], economy: DraftEconomy
  ) throws(EngineError) -> DraftRound {
    random.withLock { random in
      DraftRound(
        proposals: sequences.map { _ in
          var tree = DraftProposal()
          for index in 0..<Int(random.next() % 40) {
            tree.append(
              .init(
                token: Token(random.next() % 60) - 2,
                parent: Int(random.next() % UInt64(index + 1)) - 1, rank: Int(random.next() % 3),
                probability: 1))
          }
          return tree
        })
    }
  }
}

private final class FailingDrafter: Drafter {
  let name = "failing"
  let calls = Mutex(0)
  func propose(
    _ sequences: [DraftSequence], economy: DraftEconomy
  ) throws(EngineError) -> DraftRound {
    calls.withLock { $0 += 1 }
    throw EngineError(.backend, "broken")
  }
}

/// Takes its time and guesses nothing.
private final class UselessDrafter: Drafter {
  let name = "useless"
  let calls = Mutex(0)
  func propose(
    _ sequences: [DraftSequence], economy: DraftEconomy
  ) throws(EngineError) -> DraftRound {
    calls.withLock { $0 += 1 }
    usleep(2000)
    return DraftRound(proposals: sequences.map { _ in DraftProposal() })
  }
}
