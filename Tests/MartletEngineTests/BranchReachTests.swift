import Foundation
import MartletEngine
import MartletSimulation
import Testing

/// What strategies reach for beyond forking and advancing: other prompts, questions about the next
/// token, finished branches that go on, pages given back, limits of one advance and of one run.
@Suite("What strategies reach for")
struct BranchReachTests {
  private func makeRun(
    _ prompt: String = "abc", stops: StopRules = .init(), seed: UInt64 = 5
  ) throws -> (run: Run, backend: SimulatedBackend) {
    let backend = hashedBackend()
    let run = try Engine(backend: backend).makeRun(
      prompt: tokens(prompt), seed: seed, stops: stops)
    return (run, backend)
  }

  @Test("an opened branch has its own prompt, path and text, and is read in the same batch")
  func opened() throws {
    let (run, backend) = try makeRun()
    let other = try run.open(prompt: tokens("fgh.a"))
    let another = try run.open(prompt: tokens("fgh.a"))
    let child = try run.root.fork(1)[0]
    try run.advanceBlocking([child, other, another], Advance(maxTokens: 12))
    expectTrue(child, to: backend.world, prompt: tokens("abc"))
    expectTrue(other, to: backend.world, prompt: tokens("fgh.a"))
    expectTrue(another, to: backend.world, prompt: tokens("fgh.a"))
    #expect(other.promptTokens == 5 && child.promptTokens == 3)
    #expect(other.path != another.path && child.path < another.path && another.path < other.path)
    #expect(other.tokens != another.tokens)
    #expect(run.statistics.promptTokens == 3 + 5 + 5)
    let grown = try other.fork(2)
    try run.advanceBlocking(grown, Advance(maxTokens: 5))
    for branch in grown { expectTrue(branch, to: backend.world, prompt: tokens("fgh.a")) }
    try other.truncate(toGenerated: 2)
    try run.advanceBlocking([other], Advance(maxTokens: 5))
    expectTrue(other, to: backend.world, prompt: tokens("fgh.a"))
  }

  @Test("opening does not change what other branches draw")
  func openingIsApart() throws {
    let (plain, _) = try makeRun()
    let (busy, _) = try makeRun()
    _ = try busy.open(prompt: tokens("gg"))
    try plain.advanceBlocking([plain.root], Advance(maxTokens: 20))
    try busy.advanceBlocking([busy.root], Advance(maxTokens: 20))
    #expect(plain.root.tokens == busy.root.tokens)
  }

  @Test(
    "what comes next: the world's own distribution, nothing drawn, the same row drawn from later")
  func nextTokens() throws {
    let (run, backend) = try makeRun()
    let (twin, _) = try makeRun()
    let branches = try run.root.fork(3)
    try run.advanceBlocking(branches, Advance(maxTokens: 4))
    let asked: [Int32] = [2, 0]
    let answers = try run.nextTokensBlocking(branches, NextTokenQuery(top: 3, tokens: asked))
    for (branch, answer) in zip(branches, answers) {
      let law = logSoftmax(backend.world.logits(after: tokens("abc") + branch.tokens))
      let best = law.indices.sorted { (law[$0], $1) > (law[$1], $0) }.prefix(3)
      #expect(answer.top.map { Int($0.token) } == Array(best))
      for choice in answer.top {
        #expect(abs(Double(choice.logprob) - law[Int(choice.token)]) < 1e-5)
      }
      for (token, logprob) in zip(asked, answer.logprobs) {
        #expect(abs(Double(logprob) - law[Int(token)]) < 1e-5)
      }
      let entropy = -law.reduce(0) { $0 + ($1 > -.infinity ? exp($1) * $1 : 0) }
      #expect(abs(Double(answer.entropy) - entropy) < 1e-4)
    }
    #expect(run.statistics.generatedTokens == 12)
    let others = try twin.root.fork(3)
    try twin.advanceBlocking(others, Advance(maxTokens: 4))
    try twin.advanceBlocking(others, Advance(maxTokens: 9))
    try run.advanceBlocking(branches, Advance(maxTokens: 9))
    #expect(branches.map(\.tokens) == others.map(\.tokens))
    #expect(run.engine.statistics.logitsRows == twin.engine.statistics.logitsRows)
  }

  @Test("a question out of range, or of a finished branch, is refused")
  func badQuestions() throws {
    let (run, _) = try makeRun(stops: .init(maxTokens: 2))
    let most = run.engine.backend.vocabularySize
    for query in [
      NextTokenQuery(top: most + 1), NextTokenQuery(top: -1), NextTokenQuery(tokens: [-1]),
      NextTokenQuery(tokens: [Int32(most)]),
    ] {
      #expect(engineError { try run.nextTokensBlocking([run.root], query) }?.code == .argument)
    }
    try run.advanceBlocking([run.root])
    #expect(run.root.finished)
    let error = engineError { try run.nextTokensBlocking([run.root], NextTokenQuery(top: 1)) }
    #expect(error?.code == .state)
    let open = try run.root.reopened()
    #expect(try run.nextTokensBlocking([open], NextTokenQuery(top: 1))[0].top.count == 1)
  }

  @Test("a reopened branch has the text without what ended it, and goes on")
  func reopened() throws {
    let (run, backend) = try makeRun(stops: .init(stopStrings: ["."]))
    try run.advanceBlocking([run.root])
    #expect(run.root.stop == .stopString)
    let open = try run.root.reopened()
    #expect(open.text == run.root.text && !open.finished)
    try open.append(text: "abc")
    #expect(open.text == run.root.text + "abc")
    try run.advanceBlocking([open], Advance(maxTokens: 3))
    expectTrue(open, to: backend.world, prompt: tokens("abc"))
    #expect(run.root.stop == .stopString)

    let ending = SimulatedBackend(
      world: HashedWorld(codec: WordCodec(words: words), seed: 7, endBias: 4), pageTokens: 4)
    let short = try Engine(backend: ending).makeRun(prompt: tokens("a"), seed: 1)
    try short.advanceBlocking([short.root])
    #expect(short.root.stop == .endOfSequence)
    let on = try short.root.reopened()
    #expect(on.generatedTokens == short.root.generatedTokens - 1 && on.text == short.root.text)
  }

  @Test("a text that a constraint ended is reopened whole, and free of the constraint")
  func reopenedConstraint() throws {
    let backend = hashedBackend()
    let run = try Engine(backend: backend).makeRun(
      prompt: tokens("a"), seed: 3, constraint: try Constraint.regex("[a-e]{4}"))
    try run.advanceBlocking([run.root])
    #expect(run.root.finished && run.root.text.count == 4)
    let open = try run.root.reopened()
    #expect(open.text == run.root.text)
    try open.append(text: ".")
    try run.advanceBlocking([open], Advance(maxTokens: 6))
    #expect(open.generatedTokens == open.text.count || open.text.count > 5)
    expectTrue(open, to: backend.world, prompt: tokens("a"))
  }

  @Test("a demoted branch gives back its own pages and goes on with the same bits")
  func demoted() throws {
    let (run, backend) = try makeRun()
    let (twin, _) = try makeRun()
    let branches = try run.root.fork(2)
    let others = try twin.root.fork(2)
    try run.advanceBlocking(branches, Advance(maxTokens: 21))
    try twin.advanceBlocking(others, Advance(maxTokens: 21))
    let before = run.statistics.kvPages
    let freed = try branches[1].demote()
    #expect(freed == (before - run.statistics.kvPages) * backend.bytesPerPage && freed > 0)
    #expect(try branches[1].demote() == 0)
    try run.advanceBlocking(branches, Advance(maxTokens: 10))
    try twin.advanceBlocking(others, Advance(maxTokens: 10))
    #expect(branches.map(\.tokens) == others.map(\.tokens))
    #expect(branches.map(\.logprobs) == others.map(\.logprobs))
    let child = try branches[0].fork(1)[0]
    #expect(try branches[0].demote() == 0, "shared pages stay")
    for branch in branches + [child] { branch.release() }
    run.root.release()
    #expect(run.engine.pagesInUse == 0)
  }

  @Test("limits of entropy and log-probability stop a branch after the token that passed them")
  func thresholds() throws {
    let (run, _) = try makeRun()
    try run.advanceBlocking([run.root], Advance(maxTokens: 200, entropyAbove: 2.2))
    let entropies = run.root.entropies
    #expect(run.root.stop == .entropy)
    #expect(entropies.last! > 2.2 && entropies.dropLast().allSatisfy { $0 <= 2.2 })
    let start = run.root.generatedTokens
    try run.advanceBlocking([run.root], Advance(maxTokens: 200, logprobBelow: -4))
    #expect(run.root.stop == .logprob)
    let logprobs = run.root.logprobs[start...]
    #expect(logprobs.last! < -4 && logprobs.dropLast().allSatisfy { $0 >= -4 })
  }

  @Test("rules of one advance replace the run's for its tokens only")
  func ownRules() throws {
    let (run, backend) = try makeRun()
    try run.advanceBlocking([run.root], Advance(maxTokens: 6, sampling: .greedy))
    var history = tokens("abc")
    for token in run.root.tokens {
      let row = backend.world.logits(after: history)
      #expect(row[Int(token)] == row.max()!)
      history.append(token)
    }
    let (twin, _) = try makeRun()
    try twin.advanceBlocking([twin.root], Advance(maxTokens: 6, sampling: .greedy))
    try twin.advanceBlocking([twin.root], Advance(maxTokens: 20))
    try run.advanceBlocking([run.root], Advance(maxTokens: 20, sampling: .init()))
    #expect(run.root.tokens == twin.root.tokens)
  }

  @Test("a run's own ceiling on pages stops its branches and nobody else's")
  func pageCeiling() throws {
    let backend = hashedBackend()
    let engine = try Engine(backend: backend)
    let small = try engine.makeRun(prompt: tokens("abc"), seed: 1)
    let free = try engine.makeRun(prompt: tokens("abc"), seed: 1)
    small.kvBytesLimit = 5 * backend.bytesPerPage
    #expect(small.kvBytesLimit == 5 * backend.bytesPerPage)
    let branches = try small.root.fork(2)
    try small.advanceBlocking(branches, Advance(maxTokens: 40))
    try free.advanceBlocking([free.root], Advance(maxTokens: 40))
    #expect(branches.contains { $0.stop == .budget })
    #expect(small.statistics.peakKVPages <= 5)
    #expect(free.root.generatedTokens == 40)
  }

  @Test("a gate may refuse prompts and appended text")
  func promptGate() throws {
    final class Strict: TokenGate {
      var remainingTokens: Int? { nil }
      func reserve(_ count: Int) -> Bool { true }
      func reservePrompt(_ count: Int) -> Bool { count <= 2 }
      func refund(_ count: Int) {}
    }
    let (run, _) = try makeRun()
    run.gate = Strict()
    #expect(engineError { try run.open(prompt: tokens("abc")) }?.code == .budget)
    #expect(engineError { try run.root.append(text: "abc") }?.code == .budget)
    try run.root.append(text: "ab")
    #expect(run.statistics.promptTokens == 5)
  }
}
