import MartletEngine
import MartletSimulation
import Testing

/// Random sequences of operations against a model that is nothing but token arrays.
@Suite("Random operations")
struct OperationTests {
  @Test("every text comes from its own history, every page returns", arguments: 0..<40)
  func randomOperations(seed: UInt64) throws {
    var random = TestRandom(seed: seed)
    try operate(
      seed, &random,
      on: hashedBackend(
        pageTokens: [1, 3, 4, 32].randomElement(using: &random)!,
        maximumBatch: [1, 4, 64].randomElement(using: &random)!))
  }

  @Test("the same while tokens are guessed ahead", arguments: 0..<60)
  func randomOperationsDrafting(seed: UInt64) throws {
    var random = TestRandom(seed: seed + 1000)
    let backend = repetitiveBackend(
      pageTokens: [1, 3, 4, 32].randomElement(using: &random)!,
      maximumBatch: [1, 4, 64].randomElement(using: &random)!)
    try operate(seed, &random, on: backend, drafting: Drafting([.ngram, .siblings, .trie]))
  }

  private func operate(
    _ seed: UInt64, _ random: inout TestRandom, on backend: SimulatedBackend,
    drafting: Drafting = .off
  ) throws {
    let engine = try Engine(
      backend: backend,
      configuration: .init(
        prefillChunk: [1, 3, 50].randomElement(using: &random)!,
        overrun: [0, 1, 8].randomElement(using: &random)!,
        logitsCacheBytes: [0, 1 << 20].randomElement(using: &random)!))
    let prompt = (0..<Int.random(in: 1...20, using: &random)).map { Int32($0 % 14) }
    let run = try engine.makeRun(prompt: prompt, seed: seed, drafting: drafting)
    var live: [(branch: Branch, tokens: [Int32])] = [(run.root, [])]

    for step in 0..<60 {
      let context = "seed \(seed), step \(step)"
      guard !live.isEmpty else { break }
      let pick = Int.random(in: 0..<live.count, using: &random)
      switch Int.random(in: 0..<12, using: &random) {
      case 0, 1:
        guard live.count < 20 else { continue }
        let children = try live[pick].branch.fork(Int.random(in: 1...4, using: &random))
        for child in children { live.append((child, live[pick].tokens)) }
      case 2:
        let count = Int.random(in: 0...live[pick].tokens.count, using: &random)
        try live[pick].branch.truncate(toGenerated: count)
        live[pick].tokens.removeLast(live[pick].tokens.count - count)
      case 3:
        let more = (0..<Int.random(in: 0...9, using: &random)).map { Int32($0) }
        try live[pick].branch.append(tokens: more)
        live[pick].tokens += more
      case 4:
        if Bool.random(using: &random) { live[pick].branch.release() }
        live.remove(at: pick)
      case 5:
        let ancestors = (0..<Int.random(in: 1...8, using: &random)).map { _ in
          Int.random(in: 0..<live.count, using: &random)
        }
        let results = try run.resample(live.map(\.branch), ancestors: ancestors)
        live = zip(results, ancestors).map { ($0, live[$1].tokens) }
      case 6:
        // Submit, take some events, cancel the rest: half of them by release.
        let chosen = live.indices.filter { _ in Bool.random(using: &random) }
        try run.submit(
          chosen.map { live[$0].branch }, Advance(maxTokens: Int.random(in: 1...9, using: &random)))
        for _ in 0..<Int.random(in: 0...chosen.count, using: &random) {
          #expect(try run.waitAny() != nil, "\(context)")
        }
        for index in chosen.reversed() {
          live[index].branch.cancel()
          let tokens = live[index].branch.tokens
          #expect(tokens.starts(with: live[index].tokens), "\(context)")
          live[index].tokens = tokens
        }
        #expect(try run.waitAny()?.branch.path == nil, "\(context)")
      default:
        let chosen = live.indices.filter { _ in Bool.random(using: &random) }
        let count = Int.random(in: 1...6, using: &random)
        try run.advanceBlocking(chosen.map { live[$0].branch }, Advance(maxTokens: count))
        for index in chosen {
          let tokens = live[index].branch.tokens
          #expect(tokens.count == live[index].tokens.count + count, "\(context)")
          #expect(tokens.starts(with: live[index].tokens), "\(context)")
          live[index].tokens = tokens
        }
      }
      for (branch, tokens) in live where branch.tokens != tokens {
        Issue.record("\(context): \(branch.path) has \(branch.tokens), expected \(tokens)")
      }
    }
    for (branch, _) in live { expectTrue(branch, to: backend.world, prompt: prompt) }
    live.removeAll()
    run.root.release()
    #expect(engine.pagesInUse == 0, "seed \(seed)")
    #expect(run.statistics.kvPages == 0, "seed \(seed)")
  }
}
