import Foundation
import MartletEngine
import MartletKernels
import MartletModel
import MartletSimulation
import Testing

/// Spans that leave the middle of a branch.
@Suite("Dropped spans")
struct DroppedSpanTests {
  /// Whatever is dropped, forked, cut and released: what a branch draws is what the world says after the
  /// tokens that it still has, and no page leaks.
  @Test("branches go on from what is left", arguments: 0..<12)
  func random(seed: UInt64) throws {
    let backend = hashedBackend(pageTokens: 4)
    let engine = try Engine(backend: backend, configuration: .init(prefillChunk: 16))
    defer { engine.shutdown() }
    var random = TestRandom(seed: seed)
    let prompt = tokens("a b.")
    let run = try engine.makeRun(
      prompt: prompt, seed: seed, drafting: seed % 3 == 0 ? Drafting([.siblings, .ngram]) : .off)
    var branches = [run.root]
    for _ in 0..<30 {
      let branch = branches[Int.random(in: 0..<branches.count, using: &random)]
      switch Int.random(in: 0..<6, using: &random) {
      case 0 where branches.count < 5: branches += try branch.fork(2)
      case 1 where branches.count > 1:
        branch.release()
        branches.removeAll { $0 === branch }
      case 2 where branch.generatedTokens > 2:
        let from = Int.random(in: 0..<branch.generatedTokens, using: &random)
        let to = Int.random(in: from + 1...branch.generatedTokens, using: &random)
        // Freshly forked branches have text left to process.
        try run.advanceBlocking([branch], Advance(maxTokens: 1))
        let (before, logprobs, text) = (branch.tokens, branch.logprobs, branch.text)
        let following: Branch.FollowingText = Bool.random(using: &random) ? .kept : .processedAgain
        let dropped = try branch.drop(generated: from..<to, following: following)
        #expect(dropped.tokens == Array(before[from..<to]))
        #expect(dropped.logprobs == Array(logprobs[from..<to]))
        #expect(branch.tokens == Array(before[..<from] + before[to...]))
        #expect(branch.logprobs == Array(logprobs[..<from] + logprobs[to...]))
        #expect(branch.text.utf8.count + dropped.text.utf8.count == text.utf8.count)
        // What was drawn before was drawn with the span in view.
        let known = branch.generatedTokens
        try run.advanceBlocking([branch], Advance(maxTokens: 5))
        var history = prompt + branch.tokens.prefix(known)
        for index in known..<branch.generatedTokens {
          let expected = logSoftmax(backend.world.logits(after: history))
          #expect(
            abs(expected[Int(branch.tokens[index])] - Double(branch.logprobs[index])) < 1e-5,
            "seed \(seed)")
          history.append(branch.tokens[index])
        }
      case 3 where branch.generatedTokens > 1:
        try branch.truncate(
          toGenerated: Int.random(in: 0..<branch.generatedTokens, using: &random))
      case 4: _ = try branch.demote()
      default: try run.advanceBlocking([branch], Advance(maxTokens: 7))
      }
    }
    for branch in branches { branch.release() }
    run.root.release()
    #expect(engine.pagesInUse == 0)
  }

  /// Keys and values of one layer depend on a token and its position alone: rotated to a new position
  /// they are what processing the token there gives, up to rounding.
  @Test("rotated keys are those of the new positions", arguments: [60, 61])
  func rotation(seed: UInt64) throws {
    let fixture = try TransformerFixture(seed: seed, layers: 1)
    func run(_ following: Branch.FollowingText) throws -> [Float] {
      let engine = try Engine(backend: fixture.backend(threads: 2))
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: fixture.tokens(50, seed: 5), seed: 3)
      let branch = run.root
      try branch.append(tokens: fixture.tokens(150, seed: 6))
      try run.advanceBlocking([branch], Advance(maxTokens: 1))
      _ = try branch.drop(generated: 13..<90, following: following)
      try branch.append(tokens: fixture.tokens(20, seed: 7))
      try run.advanceBlocking(
        [branch], Advance(maxTokens: 25, sampling: .greedy))
      #expect(branch.promptTokens + branch.generatedTokens == 50 + 151 - 77 + 20 + 25)
      return Array(branch.logprobs.suffix(25))
    }
    let (kept, again) = (try run(.kept), try run(.processedAgain))
    for (a, b) in zip(kept, again) { #expect(abs(a - b) < 1e-3) }
  }

  @Test("text that follows keeps what it took from the span, or not")
  func memory() throws {
    let fixture = try TransformerFixture(seed: 62, layers: 2)
    let text = fixture.tokens(150, seed: 6)
    /// Log-probabilities of what the branch that dropped a span draws next, and of what another does.
    func run(
      _ text: [Token], _ following: Branch.FollowingText?, demoting: Bool = false
    ) throws -> (own: [Float], other: [Float]) {
      let engine = try Engine(backend: fixture.backend(threads: 2))
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: fixture.tokens(50, seed: 5), seed: 3)
      try run.root.append(tokens: text)
      // Forks share the pages that are rotated, and stay as they are.
      let branches = try run.root.fork(2)
      _ = try run.nextTokensBlocking(branches, NextTokenQuery(top: 1))
      if let following { _ = try branches[0].drop(generated: 13..<90, following: following) }
      if demoting { _ = try branches[0].demote() }
      for branch in branches { try branch.append(tokens: fixture.tokens(20, seed: 7)) }
      try run.advanceBlocking(branches, Advance(maxTokens: 25, sampling: .greedy))
      let outcome = (
        Array(branches[0].logprobs.suffix(25)), Array(branches[1].logprobs.suffix(25))
      )
      for branch in branches { branch.release() }
      run.root.release()
      #expect(engine.pagesInUse == 0)
      return outcome
    }
    let without = try run(Array(text[..<13] + text[90...]), nil).own
    let whole = try run(text, nil).other
    let again = try run(text, .processedAgain)
    #expect(again.own == without, "the span was never there")
    let kept = try run(text, .kept)
    #expect(kept.own != without, "nothing was kept of the span")
    #expect(try run(text, .kept, demoting: true).own == kept.own, "demoted")
    #expect(kept.other == whole && again.other == whole, "who shares pages sees nothing of it")
  }

  @Test("what cannot be dropped is refused and changes nothing")
  func refusals() throws {
    let engine = try Engine(backend: hashedBackend())
    defer { engine.shutdown() }
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 1)
    let branch = run.root
    try run.advanceBlocking([branch], Advance(maxTokens: 20))
    let before = branch.tokens
    for span in [0..<0, 5..<21, -1..<2] {
      #expect(engineError { try branch.drop(generated: span) }?.code == .argument)
    }
    try branch.append(tokens: tokens("abcabc"))
    #expect(engineError { try branch.drop(generated: 2..<5) }?.code == .state)
    #expect(branch.tokens == before + tokens("abcabc"))
    _ = try branch.drop(generated: 2..<5, following: .processedAgain)
    branch.release()
    #expect(engineError { try branch.drop(generated: 2..<5) }?.code == .released)

    let pruned = try TransformerFixture(seed: 62)
      .backend(attention: .heavyHitters(.init(budget: 64)))
    #expect(!pruned.supportsShifts)
    let other = try Engine(backend: pruned)
    defer { other.shutdown() }
    let second = try other.makeRun(prompt: [1, 2, 3], seed: 1)
    try second.advanceBlocking([second.root], Advance(maxTokens: 9))
    #expect(engineError { try second.root.drop(generated: 2..<5) }?.code == .backend)
    _ = try second.root.drop(generated: 2..<5, following: .processedAgain)
  }
}
