import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

@Suite struct BudgetTests {
  @Test(
    arguments: ["greedy", "sample", "best-of-n", "best-of-n-c", "self-consistency", "first-finish"])
  func tokensAreNeverExceeded(strategy: String) async throws {
    for tokens in [1, 2, 7, 64] {
      let (session, engine) = try makeSession(endless)
      let options = ["greedy", "sample"].contains(strategy) ? [] : ["n=16"]
      let result = try await session.run(
        request("abc", strategy, options, maxTokens: 500, budget: Budget(tokens: tokens)))
      #expect(result.usage.generatedTokens == tokens)
      #expect(result.stoppedBecause == .budgetTokens)
      #expect(result.candidates.reduce(0) { $0 + $1.tokens } == tokens)
      #expect(engine.pagesInUse == 0)
    }
  }

  @Test func aBudgetThatSufficesIsNotWhyItStopped() async throws {
    let (session, _) = try makeSession(makeWorld)
    let free = try await session.run(request(makeWorld.prompt, "best-of-n", ["n=16"]))
    // Four tokens a branch, the end included: exactly enough, and one too few.
    for (tokens, cause) in [(64, RunResult.StopCause.finished), (63, .budgetTokens)] {
      let result = try await session.run(
        request(makeWorld.prompt, "best-of-n", ["n=16"], budget: Budget(tokens: tokens)))
      #expect(result.stoppedBecause == cause)
      #expect(result.usage.generatedTokens == tokens)
      #expect(result.text == free.text)
    }
  }

  @Test(arguments: ["sample", "best-of-n", "first-finish"])
  func theCeilingOnKVBytesIsSaid(strategy: String) async throws {
    // Twenty pages of 32 tokens: fewer than sixteen endless branches want.
    let backend = SimulatedBackend(world: endless, bytesPerPage: 4096)
    let engine = try Engine(
      backend: backend, configuration: EngineConfiguration(kvBytesLimit: 20 * 4096))
    let session = ScalingSession(
      engine: engine, plugins: shipped, model: "simulation", kvBytesLimit: 20 * 4096)
    let options = strategy == "sample" ? [] : ["n=16"]
    let result = try await session.run(request("abc", strategy, options, maxTokens: 3000))
    #expect(result.stoppedBecause == .budgetKVBytes)
    #expect(!result.text.isEmpty)
    #expect(result.usage.peakKVBytes <= 20 * 4096)
    #expect(result.notes.contains { $0.contains("of the \(20 * 4096) allowed") }, "\(result.notes)")
    #expect(engine.pagesInUse == 0)
  }

  @Test("what guidance reads counts", arguments: ["sample", "best-of-n"])
  func guidanceIsPaidFor(strategy: String) async throws {
    let engine = try Engine(backend: SimulatedBackend(world: endless))
    let session = ScalingSession(
      engine: engine, plugins: shipped, model: "simulation",
      surroundings: ModelSurroundings(parameters: 10))
    for total in [9, 20, 41, 100] {
      let flops = 20 * Double(total)
      for budget in [Budget(totalTokens: total), Budget(flops: flops)] {
        var wanted = try request("abc", strategy, maxTokens: 50, budget: budget)
        wanted.guidance = Guidance(by: .text("ab"), scale: 1.5)
        let result = try await session.run(wanted)
        let usage = result.usage
        #expect(usage.guidanceTokens > usage.generatedTokens && usage.generatedTokens > 0)
        // Each token that is drawn is read twice, so one may be left over.
        #expect((total - 1...total).contains(usage.totalTokens), "\(usage)")
        #expect([.budgetTotalTokens, .budgetFLOPs].contains(result.stoppedBecause))
      }
    }
    var wanted = try request("abc", strategy, budget: Budget(totalTokens: 5))
    wanted.guidance = Guidance(by: .text("ab"), scale: 1.5)
    let refused = await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    #expect(refused?.engineCode == .budget, "\(refused?.message ?? "")")
    #expect(engine.pagesInUse == 0)
  }

  @Test("a scorer or a child that finds no page ends its run as the strategy itself would")
  func whoeverReachesTheCeiling() async throws {
    let (session, engine) = try makeSession(HashedWorld(seed: 5, endBias: 1))
    var reached = 0
    for pages in 2...24 {
      for (strategy, options) in [("particle-filter", ["n=6", "step=e"]), ("pipeline", [])] {
        var wanted = try request(
          "abc", strategy, options, maxTokens: 40,
          budget: Budget(tokens: 400, kvBytes: pages * 4096))
        wanted.scorer = "p-true"
        let result = try await session.run(wanted)
        #expect(result.stoppedBecause != .pluginFailed, "\(pages): \(result.failure ?? "")")
        if result.stoppedBecause == .budgetKVBytes { reached += 1 }
      }
    }
    #expect(reached > 10)
    #expect(engine.pagesInUse == 0)
  }

  @Test func aPromptThatCannotFitItsKVBudgetIsRefused() async throws {
    let (session, _) = try makeSession(endless)
    let refused = await #expect(throws: ScalingError.self) {
      try await session.run(request("abc", "sample", [], budget: Budget(kvBytes: 1)))
    }
    #expect(refused?.message.contains("kv_bytes allows 1") == true, "\(refused?.message ?? "")")
    #expect(session.engine.statistics.forwards == 0)
  }

  @Test func whatIsLeftIsSharedAlikeUnderOneSeed() async throws {
    var texts: Set<[String]> = []
    for _ in 0..<3 {
      let (session, _) = try makeSession(endless)
      let result = try await session.run(
        request("abc", "best-of-n", ["n=5"], maxTokens: 100, budget: Budget(tokens: 33)))
      texts.insert(result.candidates.map(\.text))
    }
    #expect(texts.count == 1)
  }

  @Test(arguments: [
    ("tokens=0", "0 tokens"), ("tokens=-3", "-3 tokens"), ("tokens=many", "many"),
    ("seconds=0", "0.0 seconds"), ("seconds=-1", "-1.0 seconds"), ("seconds=nan", "nan"),
    ("seconds=inf", "inf"), ("joules=3", "joules"), ("tokens", "tokens"), ("", "name=amount"),
    ("tokens=1,tokens=2", "'tokens' is given twice"), ("seconds=1,seconds=1", "twice"),
  ])
  func uselessBudgetsAreErrors(text: String, mention: String) throws {
    let error = #expect(throws: ScalingError.self) { try Budget(parsing: text) }
    #expect(error?.code == .budget)
    #expect(error?.message.contains(mention) == true, "\(error?.message ?? "")")
  }

  @Test func budgetsAreRead() throws {
    #expect(try Budget(parsing: "tokens=64,seconds=2.5") == Budget(tokens: 64, seconds: 2.5))
  }

  @Test func aZeroBudgetIsAnErrorOfTheRunToo() async throws {
    let (session, _) = try makeSession(endless)
    let zero = try request("abc", "greedy", budget: Budget(tokens: 0))
    await #expect(throws: ScalingError.self) { try await session.run(zero) }
  }

  @Test(arguments: ["greedy", "best-of-n", "first-finish"])
  func theDeadlineReturnsTheBestSoFar(strategy: String) async throws {
    let (session, engine) = try makeSession(
      endless, cost: SimulatedCost(perForward: 0.005, sleeps: true))
    // A busy machine may not get to the first token in time; then it gets more.
    for seconds in [0.2, 1, 5, 20] {
      let result = try await session.run(
        request("abc", strategy, maxTokens: 100_000, budget: Budget(seconds: seconds)))
      #expect(result.stoppedBecause == .budgetSeconds)
      #expect(engine.pagesInUse == 0)
      if !result.text.isEmpty { return }
    }
    Issue.record("nothing was generated within 20 seconds")
  }

  @Test func afterTheSecondsNoTokenIsGranted() async throws {
    let ledger = try BudgetLedger(Budget(tokens: 10, seconds: 0.001))
    try await Task.sleep(for: .milliseconds(2))
    #expect(!ledger.reserve(1))
    #expect(ledger.ended == .seconds)
    #expect(ledger.reservedTokens == 0)
  }

  @Test func theLedgerReservesAllOrNothing() throws {
    let ledger = try BudgetLedger(Budget(tokens: 10))
    #expect(ledger.reserve(6))
    #expect(!ledger.reserve(5))
    #expect(ledger.ended == .tokens)
    #expect(ledger.reserve(4))
    #expect(ledger.remainingTokens == 0)
    ledger.refund(3)
    #expect(ledger.remainingTokens == 3)
    #expect(ledger.reservedTokens == 7)
  }
}
