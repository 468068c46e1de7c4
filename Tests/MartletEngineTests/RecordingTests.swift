import Foundation
import MartletEngine
import MartletSimulation
import Testing

/// What a run drew, drawn again without the model, at the level of branches.
@Suite("Recorded draws")
struct RecordingTests {
  private static let prompt = tokens("ab cd ef gh ij")

  /// Cancels, goes on, cuts, appends, asks and forks; what was seen of it.
  private func play(_ run: Run, drawsAhead: Bool) throws -> [String] {
    var seen: [String] = []
    func note(_ branch: Branch) {
      seen.append("\(branch.path) \(branch.stop) \(branch.tokens) \(branch.logprobs)")
    }
    /// Waits until the engine has drawn what nobody has seen yet.
    func linger(_ tokens: Int) {
      for _ in 0..<2000 where drawsAhead && run.statistics.generatedTokens < tokens {
        Thread.sleep(forTimeInterval: 0.0005)
      }
    }
    let branches = try run.root.fork(4)
    // Nobody waits: all that is drawn is ahead of the clock, and taken back.
    try run.submit([branches[0]], Advance(maxTokens: 40))
    linger(3)
    branches[0].cancel()
    note(branches[0])
    try run.submit([branches[0]], Advance(maxTokens: 5))
    try run.submit(Array(branches[1...]), Advance(maxTokens: 60))
    seen.append("first \(try run.waitAny()?.branch.path.description ?? "")")
    linger(24)
    for branch in branches[1...] {
      branch.cancel()
      note(branch)
    }
    try run.advanceBlocking([branches[1]], Advance(maxTokens: 6))
    try branches[2].truncate(toGenerated: 2)
    try run.advanceBlocking([branches[2]], Advance(maxTokens: 6))
    try branches[3].append(text: "ab.")
    let asked = try run.nextTokensBlocking([branches[3], branches[2]], NextTokenQuery(top: 2))
    seen.append("\(asked.map(\.entropy))")
    try branches[2].truncate(toGenerated: 0)
    let more = try branches[3].fork(2) + [branches[2].fork(1)[0]]
    try run.advanceBlocking(more, Advance(maxTokens: 9))
    (branches + more).forEach(note)
    return seen
  }

  private func check(
    _ drafting: Drafting, _ draw: SamplingOptions.Draw, seed: UInt64,
    backend: any Backend = repetitiveBackend()
  ) throws -> Int {
    let engine = try Engine(backend: backend, configuration: .init(overrun: 8))
    defer { engine.shutdown() }
    var sampling = SamplingOptions()
    sampling.draw = draw
    let run = try engine.makeRun(
      prompt: Self.prompt, seed: seed, sampling: sampling, drafting: drafting)
    let log = DrawLog()
    run.record(into: log)
    let seen = try play(run, drawsAhead: true)
    #expect(log.obstacle == nil)

    let replay = try Engine(
      backend: ReplayBackend(DrawDocument(log, of: engine)), configuration: .init(overrun: 0))
    let again = try replay.makeRun(prompt: Self.prompt, seed: seed, sampling: sampling)
    #expect(try play(again, drawsAhead: false) == seen, "seed \(seed)")
    return run.statistics.rolledBackTokens
  }

  @Test(
    "what was rolled back and drawn anew is drawn again",
    arguments: [Verifier.noise, .chain, .recursive(width: 2)],
    [SamplingOptions.Draw.inverse, .arithmetic])
  func rollback(verifier: Verifier, draw: SamplingOptions.Draw) throws {
    var drafting = Drafting([.siblings, .trie, .ngram])
    drafting.verifier = verifier
    var rolledBack = 0
    for seed in UInt64(1)...6 { rolledBack += try check(drafting, draw, seed: seed) }
    #expect(rolledBack > 20)
  }
}
