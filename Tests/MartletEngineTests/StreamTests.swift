import Foundation
import MartletEngine
import MartletSimulation
import Testing

@Suite("Streaming and shutdown")
struct StreamTests {
  /// Bytes as tokens, with a distribution that likes UTF-8 pieces of some characters.
  private func byteBackend() -> SimulatedBackend {
    let alphabet = Array("aé€😀. \u{80}ÿ".utf8) + [0xC3, 0xE2, 0xFF]
    let hashed = HashedWorld(codec: ByteCodec(), seed: 3, spread: 1)
    let world = ClosureWorld(codec: ByteCodec()) { tokens in
      let noise = hashed.logits(after: tokens)
      return noise.indices.map { id in
        id < 256 && alphabet.contains(UInt8(id)) ? noise[id] : -.infinity
      }
    }
    return SimulatedBackend(world: world)
  }

  @Test("deltas are whole characters and add up to the text", arguments: 0..<20)
  func deltas(seed: UInt64) async throws {
    let engine = try Engine(backend: byteBackend())
    let run = try engine.makeRun(
      prompt: [257, 65], seed: seed, stops: .init(stopStrings: ["€€", "a. ", "😀é"]))
    var text = ""
    var tokens: [Int32] = []
    var last = StopReason.none
    for try await event in run.stream(run.root, Advance(maxTokens: 120)) {
      #expect(last == .none)
      text += event.text
      if let token = event.token { tokens.append(token) }
      last = event.stop
    }
    #expect(text == run.root.text, "seed \(seed)")
    #expect(tokens == run.root.tokens)
    #expect(last == run.root.stop && last != .none)
    for stop in ["€€", "a. ", "😀é"] { #expect(!text.contains(stop)) }
  }

  @Test("a stream in two parts gives the text in two parts; errors arrive in the stream")
  func parts() async throws {
    let engine = try Engine(backend: hashedBackend())
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 5)
    var text = ""
    for try await event in run.stream(run.root, Advance(maxTokens: 9)) { text += event.text }
    let first = text
    #expect(first == run.root.text)
    for try await event in run.stream(run.root, Advance(maxTokens: 9)) { text += event.text }
    #expect(text == run.root.text && text.count > first.count)
    run.root.release()
    await #expect(throws: EngineError.self) {
      for try await _ in run.stream(run.root) {}
    }
  }

  @Test("a consumer that stops reading stops the branch, and its pages return")
  func abandoned() async throws {
    let slow = SimulatedCost(perForward: 0.001, sleeps: true)
    let engine = try Engine(backend: hashedBackend(context: 1 << 20, cost: slow))
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 5)
    var seen = 0
    for try await _ in run.stream(run.root) {
      seen += 1
      if seen == 4 { break }
    }
    #expect(await eventually { run.root.stop == .cancelled })
    let forwards = engine.statistics.forwards
    try await Task.sleep(for: .milliseconds(15))
    #expect(engine.statistics.forwards <= forwards + 1)
    let task = Task {
      for try await _ in run.stream(run.root) {}
    }
    try await Task.sleep(for: .milliseconds(5))
    task.cancel()
    _ = await task.result
    #expect(await eventually { run.root.stop == .cancelled })
    run.root.release()
    #expect(engine.pagesInUse == 0)
  }

  @Test("shutdown with work in flight tells everyone and ends")
  func shutdown() async throws {
    let slow = SimulatedCost(perForward: 0.001, sleeps: true)
    // Long enough to be still under way when a busy machine gets round to the shutdown.
    let engine = try Engine(backend: hashedBackend(context: 100_000, cost: slow))
    let runs = try (0..<4).map { try engine.makeRun(prompt: tokens("abc"), seed: $0) }
    let tasks = runs.map { run in Task { try await run.advance(run.root.fork(3)) } }
    let stream = Task {
      for try await _ in runs[0].stream(runs[0].root) {}
    }
    #expect(await eventually { runs[0].root.generatedTokens >= 2 })
    engine.shutdown()
    engine.shutdown()
    for task in tasks {
      let result = await task.result
      #expect(throws: EngineError.self) { try result.get() }
    }
    let streamed = await stream.result
    #expect(throws: EngineError.self) { try streamed.get() }
    #expect(engineError { try runs[0].submit([runs[0].root]) }?.code == .cancelled)
    #expect(engineError { try runs[0].root.fork(1) }?.code == .cancelled)
    #expect(runs[0].root.generatedTokens > 0)
    for run in runs { run.root.release() }
    #expect(engine.pagesInUse == 0)
  }

  @Test("an engine without references stops its thread and frees its backend")
  func freed() throws {
    weak var backend: SimulatedBackend?
    do {
      let mine = hashedBackend()
      backend = mine
      let engine = try Engine(backend: mine)
      let run = try engine.makeRun(prompt: tokens("abc"))
      try run.submit([run.root], Advance(maxTokens: 500))
    }
    for _ in 0..<2000 where backend != nil { Thread.sleep(forTimeInterval: 0.005) }
    #expect(backend == nil)
  }

  @Test("runs beside each other: many tasks, random cancelling, nothing leaks")
  func crowd() async throws {
    let engine = try Engine(
      backend: hashedBackend(maximumBatch: 24, endBias: 0), configuration: .init(prefillChunk: 5))
    await withTaskGroup(of: Void.self) { group in
      for seed in UInt64(0)..<120 {
        group.addTask {
          var random = TestRandom(seed: seed)
          guard let run = try? engine.makeRun(prompt: tokens("abc def ghi"), seed: seed),
            let children = try? run.root.fork(Int.random(in: 1...5, using: &random))
          else {
            Issue.record("seed \(seed): no run")
            return
          }
          let work = Task { try await run.advance(children, Advance(maxTokens: 40)) }
          switch random.next() % 5 {
          case 0: work.cancel()
          case 1:
            try? await Task.sleep(for: .microseconds(Int(random.next() % 2000)))
            run.cancel()
          case 2: children[0].release()
          case 3:
            try? await Task.sleep(for: .microseconds(Int(random.next() % 2000)))
            work.cancel()
          default: break
          }
          _ = await work.result
          for child in children {
            expectTrue(child, to: engine.backend.worldOfTests, prompt: tokens("abc def ghi"))
          }
        }
      }
    }
    #expect(await eventually { engine.pagesInUse == 0 })
  }

  @Test("an observer sees forwards, tokens and stops in order")
  func observer() throws {
    let recorder = Recorder()
    let engine = try Engine(backend: hashedBackend())
    let run = try engine.makeRun(prompt: tokens("abcde"), seed: 1, recorder: recorder)
    let children = try run.root.fork(2)
    try run.advanceBlocking(children, Advance(maxTokens: 3))
    children[0].release()
    let events = recorder.events
    #expect(events.first?.kind == .forked(path: .root, first: 0, count: 2))
    #expect(events.last?.kind == .released(path: children[0].path))
    let first = events.first { if case .forwardBegan = $0.kind { true } else { false } }
    guard case .forwardBegan(_, 5, 5, 0)? = first?.kind else {
      Issue.record("the prompt's pass is missing: \(String(describing: first))")
      return
    }
    let drawn = events.compactMap { event -> Int32? in
      if case .token(children[1].path, let token, _) = event.kind { token } else { nil }
    }
    #expect(drawn == children[1].tokens)
    let stops = events.filter { if case .stopped(_, .tokens, 3) = $0.kind { true } else { false } }
    #expect(stops.count == 2)
    #expect(zip(events, events.dropFirst()).allSatisfy { $0.nanoseconds <= $1.nanoseconds })
    let begun = events.count { if case .forwardBegan = $0.kind { true } else { false } }
    #expect(begun == run.statistics.forwards && begun == engine.statistics.forwards)
  }
}
