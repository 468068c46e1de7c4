import Foundation
import MartletEngine
import MartletSimulation
import Testing

@Suite("Events, cancelling and the clock")
struct ClockTests {
  /// A strategy with decisions that depend on what it sees: whatever the timing, everything it saw
  /// must be the same. Returns a log of it.
  private func strategy(
    delays seed: UInt64, overrun: Int, maximumBatch: Int, budget: Int? = nil
  ) throws -> [String] {
    var random = TestRandom(seed: seed)
    func pause() {
      if seed > 0 && random.next() % 3 == 0 {
        Thread.sleep(forTimeInterval: 0.0004 * random.uniform())
      }
    }
    let slow = SimulatedCost(perForward: seed % 2 == 1 ? 0.0001 : 0, sleeps: true)
    let backend = hashedBackend(maximumBatch: maximumBatch, endBias: 0.5, cost: slow)
    let engine = try Engine(
      backend: backend, configuration: .init(prefillChunk: 2 + Int(seed), overrun: overrun))
    let run = try engine.makeRun(prompt: tokens("ab cd ef gh ij"), seed: 11)
    let gate = CountingGate(limit: budget)
    run.gate = gate
    var log: [String] = []
    var live = try run.root.fork(6)
    try live[1].append(text: "abcdefghijabcdefghij")
    pause()
    try run.submit(live, Advance(maxTokens: 12))
    for _ in 0..<40 {
      pause()
      guard let event = try run.waitAny() else { break }
      pause()
      log.append("\(event.branch.path) \(event.stop) \(event.branch.text)")
      for branch in live { log.append("  \(branch.path) \(branch.stop) \(branch.text)") }
      let length = event.branch.text.utf8.count
      if length % 3 == 0, let victim = live.first(where: { $0.stop == .none }) {
        pause()
        victim.cancel()
        log.append("cancel \(victim.path) at \(victim.generatedTokens): \(victim.text)")
        try victim.truncate(toGenerated: victim.generatedTokens / 2)
        pause()
        try run.submit([victim], Advance(maxTokens: 5))
      }
      if !event.branch.finished, live.count < 14 {
        let children = try event.branch.fork(2)
        pause()
        try run.submit([children[0]], Advance(maxTokens: 4))
        try run.submit([children[1]], Advance(maxTokens: 7, delimiter: "."))
        live += children
      } else if length % 2 == 0 {
        log.append("release \(event.branch.path)")
        event.branch.release()
        live.removeAll { $0 === event.branch }
      }
    }
    for branch in live {
      branch.cancel()
      expectTrue(branch, to: backend.world, prompt: tokens("ab cd ef gh ij"))
      log.append("end \(branch.path) \(branch.stop) \(branch.text)")
    }
    log.append("generated \(run.statistics.generatedTokens), granted \(gate.granted)")
    if let budget { #expect(gate.granted <= budget) }
    #expect(gate.granted == run.statistics.generatedTokens)
    live = []
    run.root.release()
    #expect(engine.pagesInUse == 0)
    return log
  }

  @Test("a strategy sees the same under random delays, overruns and batch sizes")
  func determinism() throws {
    let reference = try strategy(delays: 0, overrun: 0, maximumBatch: 512)
    #expect(reference.count > 60)
    #expect(reference.contains { $0.hasPrefix("cancel") })
    for seed in UInt64(1)...8 {
      for overrun in [0, 2, 8] {
        let log = try strategy(
          delays: seed, overrun: overrun, maximumBatch: [512, 3, 1][Int(seed) % 3])
        #expect(log == reference, "seed \(seed), overrun \(overrun)")
      }
    }
  }

  @Test("and under a budget that ends in the middle", arguments: [30, 64, 101])
  func determinismUnderBudget(budget: Int) throws {
    let reference = try strategy(delays: 0, overrun: 0, maximumBatch: 512, budget: budget)
    #expect(reference.last == "generated \(budget), granted \(budget)")
    for seed in UInt64(1)...6 {
      let log = try strategy(
        delays: seed, overrun: 8, maximumBatch: [512, 3, 1][Int(seed) % 3], budget: budget)
      #expect(log == reference, "seed \(seed)")
    }
  }

  @Test("events come by tokens committed, then by path")
  func order() throws {
    let engine = try Engine(backend: hashedBackend())
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 1)
    let children = try run.root.fork(5)
    try run.submit([children[4], children[2]], Advance(maxTokens: 3))
    try run.submit([children[0]], Advance(maxTokens: 5))
    try run.submit([children[3], children[1]], Advance(maxTokens: 1))
    var paths: [String] = []
    while let event = try run.waitAny() { paths.append("\(event.branch.path)") }
    #expect(paths == ["0.1", "0.3", "0.2", "0.4", "0.0"])
  }

  @Test("a cancelled branch keeps what it had at the event's round")
  func rollback() throws {
    for overrun in [0, 3, 50] {
      let engine = try Engine(
        backend: hashedBackend(), configuration: .init(overrun: overrun))
      let run = try engine.makeRun(prompt: tokens("abc"), seed: 1)
      let children = try run.root.fork(3)
      try run.submit([children[0]], Advance(maxTokens: 7))
      try run.submit(Array(children[1...]), Advance(maxTokens: 60))
      let event = try run.waitAny()
      #expect(event?.branch === children[0])
      Thread.sleep(forTimeInterval: 0.002)
      #expect(children[1].generatedTokens == 7 && children[2].generatedTokens == 7)
      children[1].cancel()
      #expect(children[1].stop == .cancelled && children[1].generatedTokens == 7)
      // Going on draws what it had drawn ahead: the rollback is not a new epoch.
      try run.submit([children[1]], Advance(maxTokens: 4))
      while try run.waitAny() != nil {}
      #expect(children[1].generatedTokens == 11)
      let alone = try engine.makeRun(prompt: tokens("abc"), seed: 1)
      let twin = try alone.root.fork(3)[1]
      try alone.advanceBlocking([twin], Advance(maxTokens: 11))
      #expect(twin.tokens == children[1].tokens)
    }
  }

  @Test("a branch is cancelled at its next token and its pages return at once")
  func cancelLatency() async throws {
    let slow = SimulatedCost(perForward: 0.002, sleeps: true)
    // Long enough to be still under way when a busy machine gets round to cancelling it.
    let engine = try Engine(backend: hashedBackend(context: 100_000, cost: slow))
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 1)
    let task = Task { try await run.advance([run.root]) }
    #expect(await eventually { run.root.generatedTokens >= 3 })
    task.cancel()
    let result = await task.result
    #expect(throws: EngineError.self) { try result.get() }
    let kept = run.root.generatedTokens
    let forwards = engine.statistics.forwards
    try await Task.sleep(for: .milliseconds(20))
    #expect(run.root.generatedTokens == kept)
    // At most the pass in progress and one that was being gathered.
    #expect(engine.statistics.forwards <= forwards + 1)
    #expect(run.root.stop == .cancelled)
    // It can go on, and then be cancelled with its run.
    try await run.advance([run.root], Advance(maxTokens: 2))
    #expect(run.root.generatedTokens == kept + 2)
    run.cancel()
    #expect(run.isCancelled)
    #expect(engineError { try run.submit([run.root]) }?.code == .cancelled)
    #expect(run.root.text.count > 0)
    run.root.release()
    #expect(engine.pagesInUse == 0)
  }

  @Test("submitted branches live until their event; a run that goes takes its work along")
  func lifetimes() throws {
    let engine = try Engine(backend: hashedBackend(context: 1 << 20))
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 1)
    try run.submit(run.root.fork(5), Advance(maxTokens: 20))
    var count = 0
    while let event = try run.waitAny() {
      #expect(event.branch.generatedTokens == 20)
      count += 1
    }
    #expect(count == 5)
    try run.advanceBlocking(run.root.fork(3), Advance(maxTokens: 2))
    #expect(run.statistics.generatedTokens == 106)
    run.root.release()
    #expect(engine.pagesInUse == 0)

    func abandon() throws {
      let run = try engine.makeRun(prompt: tokens("abc"), seed: 1)
      try run.submit(run.root.fork(5))
    }
    try abandon()
    for _ in 0..<2000 where engine.pagesInUse > 0 { Thread.sleep(forTimeInterval: 0.005) }
    #expect(engine.pagesInUse == 0)
  }

  @Test("a waiting thread and a waiting task are told of a cancelled run")
  func cancelledRun() async throws {
    let slow = SimulatedCost(perForward: 0.001, sleeps: true)
    let engine = try Engine(backend: hashedBackend(cost: slow))
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 1)
    try run.submit(run.root.fork(1) + [run.root])
    let task = Task { try await run.nextEvent() }
    try await Task.sleep(for: .milliseconds(3))
    run.cancel()
    let result = await task.result
    #expect(throws: EngineError.self) { _ = try result.get() }
    let other = try engine.makeRun(prompt: tokens("abc"), seed: 1)
    try other.submit([other.root])
    let waiting = Task { try await other.nextEvent() }
    try await Task.sleep(for: .milliseconds(3))
    waiting.cancel()
    _ = await waiting.result
    #expect(other.isCancelled)
  }
}
