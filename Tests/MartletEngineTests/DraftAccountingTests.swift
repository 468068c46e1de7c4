import MartletEngine
import MartletSimulation
import Testing

/// What a run says it used, with drafting on: pages of tokens as without, guesses apart.
@Suite("Accounting of drafts")
struct DraftAccountingTests {
  private let prompt = tokens("abc defg. hij ")

  private struct Played {
    var run: RunStatistics
    var texts: [[Int32]]
    var kvPages: [Int]
    var forkCosts: [Int]
    var events: [EngineTraceEvent.Kind]
  }

  /// Forks, advances, truncates, appends and resamples, with `width` branches.
  private func play(
    _ drafting: Drafting, width: Int, pageTokens: Int, limit: Int = .max
  ) throws -> Played {
    let engine = try Engine(
      backend: repetitiveBackend(pageTokens: pageTokens),
      configuration: .init(kvBytesLimit: limit))
    let recorder = Recorder()
    let run = try engine.makeRun(
      prompt: prompt, seed: 21, drafting: drafting, recorder: recorder)
    var branches = try run.root.fork(width)
    var kvPages: [Int] = []
    var forkCosts: [Int] = []
    func look() {
      kvPages += branches.map(\.kvPages)
      forkCosts += branches.map { $0.forkCost(3) }
    }
    for count in [37, 1, 50] {
      try run.advanceBlocking(branches, Advance(maxTokens: count))
      look()
    }
    for (index, branch) in branches.enumerated() where index % 2 == 0 {
      try branch.truncate(toGenerated: 70 + index)
    }
    look()
    try branches[0].append(tokens: tokens("abc abc"))
    branches = try run.resample(branches, ancestors: (0..<width).map { $0 / 2 })
    try run.advanceBlocking(branches, Advance(maxTokens: 61))
    look()
    let result = Played(
      run: run.statistics, texts: branches.map(\.tokens), kvPages: kvPages, forkCosts: forkCosts,
      events: recorder.events.map(\.kind))
    for branch in branches { branch.release() }
    run.root.release()
    #expect(run.statistics.kvPages == 0 && run.statistics.draftKVPages == 0)
    #expect(engine.pagesInUse == 0)
    return result
  }

  @Test("pages count the same with drafting on and off", arguments: [1, 3, 4, 32])
  func peak(pageTokens: Int) throws {
    for width in [1, 2, 7] {
      let plain = try play(.off, width: width, pageTokens: pageTokens)
      #expect(plain.run.peakDraftKVBytes == 0)
      for drafting in [Drafting.auto, Drafting([.ngram]), Drafting([.siblings], maximumNodes: 60)] {
        let drafted = try play(drafting, width: width, pageTokens: pageTokens)
        #expect(drafted.texts == plain.texts)
        #expect(drafted.run.acceptedTokens > 0, "nothing accepted: the test shows nothing")
        #expect(drafted.run.peakKVBytes == plain.run.peakKVBytes)
        #expect(drafted.run.peakKVPages == plain.run.peakKVPages)
        #expect(drafted.kvPages == plain.kvPages)
        #expect(drafted.forkCosts == plain.forkCosts)
        if pageTokens < 32 { #expect(drafted.run.peakDraftKVBytes > 0) }
        #expect(drafted.run.peakDraftKVBytes % 1000 == 0)
      }
    }
  }

  @Test("under a ceiling, guesses go and the text stays", arguments: [60, 75, 90, 140])
  func ceiling(pages: Int) throws {
    func run(_ drafting: Drafting) throws -> ([[Int32]], [StopReason], Int, EngineStatistics) {
      let engine = try Engine(
        backend: repetitiveBackend(), configuration: .init(kvBytesLimit: pages * 1000))
      let run = try engine.makeRun(prompt: prompt, seed: 6, drafting: drafting)
      let branches = try run.root.fork(3)
      try run.advanceBlocking(branches, Advance(maxTokens: 75))
      return (
        branches.map(\.tokens), branches.map(\.stop), run.statistics.peakKVBytes, engine.statistics
      )
    }
    let (plain, drafted) = (try run(.off), try run(.auto))
    #expect(drafted.3.peakPages <= pages && plain.3.peakPages <= pages)
    if plain.1.allSatisfy({ $0 == .tokens }) {
      #expect(drafted.0 == plain.0 && drafted.2 == plain.2)
    } else {
      // Which branch is starved is a matter of time; what it has is not.
      for (a, b) in zip(plain.0, drafted.0) {
        #expect(a.starts(with: b) || b.starts(with: a))
      }
    }
  }

  @Test("every draft is an event, and the events add up")
  func events() throws {
    let played = try play(.auto, width: 5, pageTokens: 4)
    var nodes = 0
    var accepted = 0
    var passes: Set<String> = []
    for case .drafted(let path, let forward, let drafted, let drawn) in played.events {
      #expect(drafted > 0 && drawn >= 0 && drawn <= drafted)
      #expect(passes.insert("\(path) \(forward)").inserted, "two drafts of a branch in one pass")
      nodes += drafted
      accepted += drawn
    }
    #expect(nodes == played.run.draftedTokens && nodes > 0)
    #expect(accepted == played.run.acceptedTokens && accepted > 0)
    let plain = try play(.off, width: 5, pageTokens: 4)
    #expect(!plain.events.contains { if case .drafted = $0 { true } else { false } })
  }
}
