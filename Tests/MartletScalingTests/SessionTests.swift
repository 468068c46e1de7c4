import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Synchronization
import Testing

@Suite struct SessionTests {
  @Test("an engine goes with its session, also when its last run was recorded")
  func enginesGo() async throws {
    weak var engine: Engine?
    do {
      let (session, made) = try makeSession(HashedWorld(seed: 5, endBias: 1))
      engine = made
      let recorder = TraceRecorder()
      _ = try await session.run(
        request("abc", "best-of-n", ["n=4"], maxTokens: 9), trace: recorder)
    }
    for _ in 0..<1000 where engine != nil { try await Task.sleep(for: .milliseconds(5)) }
    #expect(engine == nil)
  }

  @Test(arguments: ["greedy", "best-of-n", "first-finish"])
  func cancellingReturnsSoonAndGivesPagesBack(strategy: String) async throws {
    let (session, engine) = try makeSession(
      endless, cost: SimulatedCost(perForward: 0.002, sleeps: true))
    let long = try request("abc", strategy, maxTokens: 1_000_000)
    let work = Task { try await session.run(long) }
    while engine.statistics.sampledTokens < 20 { try await Task.sleep(for: .milliseconds(2)) }
    work.cancel()
    let result = try await work.value
    #expect(result.stoppedBecause == .cancelled)
    #expect(!result.text.isEmpty)
    #expect(engine.pagesInUse == 0)
  }

  @Test func textStreamsAsItIsGenerated() async throws {
    let (session, _) = try makeSession(HashedWorld(seed: 9, endBias: 2.5))
    let pieces = Mutex<[String]>([])
    let result = try await session.run(request("abc", "sample", maxTokens: 50)) { piece in
      pieces.withLock { $0.append(piece) }
    }
    #expect(pieces.withLock { $0.count } > 1)
    #expect(pieces.withLock { $0.joined() } == result.text)
  }

  @Test func theWinnerIsDeliveredWhole() async throws {
    let (session, _) = try makeSession(makeWorld)
    let pieces = Mutex<[String]>([])
    let result = try await session.run(request(makeWorld.prompt, "best-of-n")) { piece in
      pieces.withLock { $0.append(piece) }
    }
    #expect(pieces.withLock { $0 } == [result.text])
  }

  @Test func theMaximumLengthIsSaid() async throws {
    let (session, _) = try makeSession(endless)
    let result = try await session.run(request("abc", "best-of-n", ["n=2"], maxTokens: 5))
    #expect(result.stoppedBecause == .length)
    #expect(result.candidates.allSatisfy { $0.tokens == 5 && !$0.finished })
  }

  @Test func aFullContextIsSaid() async throws {
    let (session, _) = try makeSession(endless, contextLength: 40)
    let result = try await session.run(request("abc", "greedy"))
    #expect(result.stoppedBecause == .context)
  }

  @Test(arguments: ["sample", "best-of-n", "first-finish"])
  func whatTheEngineFailedWithIsSaid(strategy: String) async throws {
    let codec = WordCodec(words: ["a", "b"])
    let damaged = ClosureWorld(codec: codec) { _ in
      [Float](repeating: .nan, count: codec.vocabularySize)
    }
    let backends: [(EngineError.Code, SimulatedBackend)] = [
      (.logits, SimulatedBackend(world: damaged)),
      (.memory, SimulatedBackend(world: endless, storagePages: 0)),
    ]
    for (code, backend) in backends {
      let engine = try Engine(backend: backend)
      let session = ScalingSession(engine: engine, plugins: shipped, model: "simulation")
      let request = try request("a", strategy, maxTokens: 10)
      let error = await #expect(throws: ScalingError.self) { try await session.run(request) }
      #expect(error?.code == .engine)
      #expect(error?.engineCode == code)
      #expect(engine.pagesInUse == 0)
    }
  }

  @Test func aPromptBeyondTheContextIsAnError() async throws {
    let (session, _) = try makeSession(endless, contextLength: 40)
    let long = try request(String(repeating: "x", count: 100), "best-of-n")
    let error = await #expect(throws: ScalingError.self) { try await session.run(long) }
    #expect(error?.code == .engine)
    #expect(error?.engineCode == .context)
    #expect(error?.message.contains("40") == true, "\(error?.message ?? "")")
  }

  @Test func manyRunsAtOnceGiveWhatTheyGiveAlone() async throws {
    let world = HashedWorld(seed: 9, endBias: 2.5)
    let (session, engine) = try makeSession(world)
    let alone = try await (0..<6).asyncMap { seed in
      try await session.run(request("abc", "best-of-n", seed: UInt64(seed), maxTokens: 40))
        .withoutTiming
    }
    let together = try await withThrowingTaskGroup(of: (Int, RunResult).self) { group in
      for seed in 0..<6 {
        let one = try request("abc", "best-of-n", seed: UInt64(seed), maxTokens: 40)
        group.addTask { (seed, try await session.run(one).withoutTiming) }
      }
      return try await group.reduce(into: [Int: RunResult]()) { $0[$1.0] = $1.1 }
    }
    for seed in 0..<6 { #expect(together[seed] == alone[seed], "seed \(seed)") }
    #expect(engine.pagesInUse == 0)
  }

  @Test func wrongOptionsAreNamed() async throws {
    let (session, _) = try makeSession(endless)
    for (option, mention) in [
      ("n=0", "from 1 to 1024"), ("n=x", "integer"), ("n=99999", "99999"), ("m=3", "it has: n"),
    ] {
      let wrong = try request("abc", "best-of-n", [option])
      let error = await #expect(throws: ScalingError.self) { try await session.run(wrong) }
      #expect(error?.code == .option)
      #expect(error?.message.contains(mention) == true, "\(error?.message ?? "")")
    }
    var request = RunRequest(prompt: "abc")
    #expect(throws: ScalingError.self) { try request.set(["n"]) }
    #expect(throws: ScalingError.self) { try request.set(["n=1", "n=2"]) }
  }

  @Test func unknownComponentsAreNamed() async throws {
    let (session, _) = try makeSession(endless)
    let unknown = try request("abc", "best-of-all")
    let error = await #expect(throws: ScalingError.self) { try await session.run(unknown) }
    #expect(error?.code == .notFound)
    #expect(error?.message.contains("best-of-n") == true)
    var scored = try request("abc", "best-of-n")
    scored.scorer = "oracle"
    let wrong = scored
    await #expect(throws: ScalingError.self) { try await session.run(wrong) }
  }

  @Test func aScorerThatCannotJudgeIsPassedOverOnlyByDefault() async throws {
    let (session, _) = try makeSession(HashedWorld(seed: 9, endBias: 2.5))
    let byDefault = try await session.run(request("abc", "best-of-n", maxTokens: 30))
    #expect(byDefault.scorer == "mean-logprob")
    var named = try request("abc", "best-of-n", maxTokens: 30)
    named.scorer = "exact-checker"
    let explicit = named
    let error = await #expect(throws: ScalingError.self) { try await session.run(explicit) }
    #expect(error?.message.contains("make T from a b c?") == true, "\(error?.message ?? "")")
  }

  @Test func theModelsExtractorIsUsed() async throws {
    let world = try ScriptedWorld(
      script: """
        prompt "calc 2 +3?"
        start: " 2+3=5 #5" 1 -> done
        done: reward 1
        """)
    let (plain, _) = try makeSession(world)
    #expect(try await plain.run(request(world.prompt, "greedy")).answer == "2+3=5 #5")
    let (session, _) = try makeSession(world, defaults: ModelDefaults(extractor: "final-answer"))
    let result = try await session.run(request(world.prompt, "greedy"))
    #expect(result.answer == "5")
    #expect(result.text == " 2+3=5 #5")
  }
}

extension Sequence {
  fileprivate func asyncMap<T>(_ transform: (Element) async throws -> T) async rethrows -> [T] {
    var values: [T] = []
    for element in self { values.append(try await transform(element)) }
    return values
  }
}
