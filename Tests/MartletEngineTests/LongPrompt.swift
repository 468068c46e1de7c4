import MartletEngine
import MartletKernels
import MartletModel
import MartletSimulation
import Testing

/// Branches of a long prompt, one of them truncated and all resampled half way: what ways of attending are
/// held to.
struct LongPrompt {
  /// What came of a run.
  struct Outcome: Equatable {
    var texts: [[Token]] = []
    var logprobs: [[Float]] = []
  }

  /// Tokens of the prompt, and of the shortest of those beside it.
  var prompt: Int
  var besidePrompt: Int
  /// Tokens generated before the truncation and after it, and how many it leaves.
  var before: Int
  var kept: Int
  var after: Int

  /// - Parameters:
  ///   - beside: how many other runs are on the same pages, before and during the run.
  ///   - appended: tokens appended to the prompt.
  func generate(
    _ fixture: TransformerFixture, _ attention: AttentionMethod, width: Int, kvType: KVType?,
    threads: Int, chunk: Int, drafting: Drafting, beside: Int, appended: Int = 0
  ) throws -> Outcome {
    let backend = try fixture.backend(threads: threads, kvType: kvType, attention: attention)
    let engine = try Engine(
      backend: drafting.isOn ? PricedBackend(nearlyFree: backend) : backend,
      configuration: .init(prefillChunk: chunk))
    defer { engine.shutdown() }
    var sampling = SamplingOptions()
    // Cool enough to repeat itself, so that guesses come true.
    sampling.temperature = 0.2
    var others: [Branch] = []
    for other in 0..<beside {
      let run = try engine.makeRun(
        prompt: fixture.tokens(besidePrompt + 37 * other, seed: 90 + UInt64(other)), seed: 1)
      try run.advanceBlocking([run.root], Advance(maxTokens: 9))
      others.append(run.root)
    }
    let run = try engine.makeRun(
      prompt: fixture.tokens(prompt, seed: 5), seed: 3, sampling: sampling, drafting: drafting)
    if appended > 0 { try run.root.append(tokens: fixture.tokens(appended, seed: 6)) }
    var branches = try run.root.fork(width)
    try run.advanceBlocking(branches, Advance(maxTokens: before))
    try branches[0].truncate(toGenerated: appended + kept)
    branches = try run.resample(branches, ancestors: branches.indices.map { $0 / 2 })
    try run.advanceBlocking(branches, Advance(maxTokens: after))
    if !drafting.sources.isEmpty {
      #expect(run.statistics.draftedTokens > 0, "nothing drafted: the test shows nothing")
    }
    let outcome = Outcome(texts: branches.map(\.tokens), logprobs: branches.map(\.logprobs))
    for branch in branches + others { branch.release() }
    run.root.release()
    #expect(engine.pagesInUse == 0)
    return outcome
  }
}
