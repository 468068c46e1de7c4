import Martlet
import MartletEngine
import MartletKernels
import MartletScaling
import Testing

@Suite("The last hidden state of a branch") struct HiddenStateTests {
  @Test("is what the logits are computed from, however the branch came to be")
  func states() async throws {
    let session = try Session()
    let engine = session.engine
    let prompt = engine.tokenizer.encode(
      "make 46 from 3 7 25?", addSpecial: true, parseSpecial: false)
    let run = try engine.makeRun(prompt: prompt, seed: 4)
    let first = try run.hiddenStateBlocking(run.root)
    #expect(first.count == engine.backend.hiddenWidth && first.contains { $0 != 0 })
    #expect(try run.hiddenStateBlocking(run.root) == first)
    let forks = try run.root.fork(3)
    for fork in forks { #expect(try run.hiddenStateBlocking(fork) == first) }
    try run.advanceBlocking(forks, Advance(maxTokens: 5))
    let later = try forks.map { try run.hiddenStateBlocking($0) }
    #expect(later.allSatisfy { $0 != first })

    // The same text put together in another way, in a run of its own.
    let other = try engine.makeRun(prompt: prompt + forks[1].tokens, seed: 9)
    #expect(try other.hiddenStateBlocking(other.root) == later[1])
    let appended = try run.root.fork(1)[0]
    try appended.append(tokens: forks[2].tokens)
    #expect(try run.hiddenStateBlocking(appended) == later[2])

    // Looking changes no draw.
    let plain = try engine.makeRun(prompt: prompt, seed: 4)
    let unseen = try plain.root.fork(3)
    try plain.advanceBlocking(unseen, Advance(maxTokens: 12))
    try run.advanceBlocking(forks, Advance(maxTokens: 7))
    #expect(forks.map(\.tokens) == unseen.map(\.tokens))
    for branch in forks + unseen + [appended] { branch.release() }
    for root in [run.root, other.root, plain.root] { root.release() }
    #expect(engine.pagesInUse == 0)
  }

  @Test("is there of a branch that was processed before anybody asked")
  func askedLate() async throws {
    func state(asksFirst: Bool) throws -> [Float] {
      let engine = try Session().engine
      let prompt = engine.tokenizer.encode(
        "make 46 from 3 7 25?", addSpecial: true, parseSpecial: false)
      let run = try engine.makeRun(prompt: prompt, seed: 4)
      if asksFirst { _ = try run.hiddenStateBlocking(run.root) }
      let branch = try run.root.fork(1)[0]
      try run.advanceBlocking([branch], Advance(maxTokens: 5))
      // A fork that copies the page, and the branch itself.
      let fork = try branch.fork(1)[0]
      try run.advanceBlocking([fork], Advance(maxTokens: 1))
      #expect(try run.hiddenStateBlocking(fork).contains { $0 != 0 })
      return try run.hiddenStateBlocking(branch)
    }
    #expect(try state(asksFirst: false) == state(asksFirst: true))
  }
}
