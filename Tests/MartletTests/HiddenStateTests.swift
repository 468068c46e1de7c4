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
}
