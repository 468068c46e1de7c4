import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

@Suite struct StrategyTests {
  @Test func greedyTakesTheLikeliestAndFails() async throws {
    let (session, _) = try makeSession(makeWorld)
    let result = try await session.run(request(makeWorld.prompt, "greedy"))
    #expect(result.text == " 7-3=4 4*25=76 #")
    #expect(result.stoppedBecause == .finished)
    #expect(result.candidates.count == 1)
  }

  @Test(arguments: ["best-of-n", "best-of-n-c"])
  func bestOfNFindsTheCheckedAnswer(strategy: String) async throws {
    let (session, engine) = try makeSession(makeWorld)
    let result = try await session.run(request(makeWorld.prompt, strategy, ["n=16"]))
    #expect(result.answer == "3*7=21 21+25=46 #")
    #expect(result.scorer == "exact-checker")
    #expect(result.candidates.count == 16)
    #expect(result.candidates[try #require(result.answerCandidate)].score == 1)
    #expect(result.usage.generatedTokens == result.candidates.reduce(0) { $0 + $1.tokens })
    #expect(engine.pagesInUse == 0)
  }

  @Test func bestOfNBreaksTiesByLogprobThenIndex() async throws {
    let (session, _) = try makeSession(makeWorld)
    for seed in UInt64(0)..<20 {
      let result = try await session.run(
        request(makeWorld.prompt, "best-of-n", ["n=6"], seed: seed))
      var best = 0
      for (index, candidate) in result.candidates.enumerated() {
        let other = result.candidates[best]
        if (candidate.score!, candidate.logprob) > (other.score!, other.logprob) { best = index }
      }
      #expect(result.answerCandidate == best, "seed \(seed)")
    }
  }

  @Test func theCPluginEqualsTheSwiftOne() async throws {
    for seed in UInt64(0)..<8 {
      let (session, _) = try makeSession(makeWorld)
      var swift = try await session.run(request(makeWorld.prompt, "best-of-n", ["n=5"], seed: seed))
      swift.strategy = "best-of-n-c"
      let c = try await session.run(request(makeWorld.prompt, "best-of-n-c", ["n=5"], seed: seed))
      #expect(swift.withoutTiming == c.withoutTiming, "seed \(seed)")
    }
  }

  @Test func bestOfNReachesItsExpectedReward() async throws {
    // The share of right answers over many seeds against the exact probability.
    let (session, _) = try makeSession(makeWorld)
    let expected = makeWorld.expectedBest(of: 4, maxTokens: 8)
    var right = 0.0
    let runs = 400
    for seed in 0..<runs {
      let result = try await session.run(
        request(makeWorld.prompt, "best-of-n", ["n=4"], seed: UInt64(seed)))
      right += makeWorld.reward(of: result.text)
    }
    // Four standard deviations: wrong once in 16,000 choices of seeds.
    let deviation = (expected * (1 - expected) / Double(runs)).squareRoot()
    #expect(abs(right / Double(runs) - expected) < 4 * deviation)
  }

  @Test func selfConsistencyTakesTheMajority() async throws {
    let world = try ScriptedWorld(
      script: """
        prompt "2+3?"
        start: " two" 0.2 -> a, " one" 0.8 -> b
        a: " #5" 0.9 -> end1, " #6" 0.1 -> end1
        b: " #5" 0.55 -> end1, " #7" 0.45 -> end1
        end1: reward 1
        """)
    let (session, _) = try makeSession(world)
    var ties = 0
    for seed in UInt64(0)..<30 {
      let result = try await session.run(
        request(world.prompt, "self-consistency", ["n=8"], seed: seed))
      var votes: [String: (count: Int, logprob: Double)] = [:]
      for candidate in result.candidates {
        let answer = try #require(candidate.answer)
        votes[answer, default: (0, 0)].count += 1
        votes[answer, default: (0, 0)].logprob += candidate.logprob
      }
      let most = votes.values.map(\.count).max()!
      let leaders = votes.filter { $0.value.count == most }
      if leaders.count > 1 { ties += 1 }
      let winner = leaders.max { $0.value.logprob < $1.value.logprob }!.key
      #expect(result.answer == winner, "seed \(seed)")
      let index = try #require(result.answerCandidate)
      #expect(result.candidates[index].score == Double(most) / 8, "seed \(seed)")
    }
    #expect(ties > 0, "no seed gave a tie, so ties were not tested")
  }

  @Test func firstFinishKeepsTheShortestAndCancelsTheRest() async throws {
    let world = try ScriptedWorld(
      script: """
        prompt "go"
        start: " a" 0.7 -> start, " b" 0.1 -> done, " c" 0.2 -> start
        done: reward 1
        """)
    let (session, engine) = try makeSession(world)
    var spared = 0
    for seed in UInt64(0)..<10 {
      let result = try await session.run(
        request(world.prompt, "first-finish", ["n=8"], seed: seed, maxTokens: 200))
      let winner = result.candidates[try #require(result.answerCandidate)]
      #expect(winner.finished)
      #expect(result.stoppedBecause == .finished)
      // The same run to its end, so that it is known what the cancelled ones would have cost.
      let whole = try await session.run(
        request(world.prompt, "self-consistency", ["n=8"], seed: seed, maxTokens: 200))
      #expect(winner.tokens == whole.candidates.map(\.tokens).min(), "seed \(seed)")
      #expect(result.candidates.allSatisfy { $0.tokens <= winner.tokens + 1 }, "seed \(seed)")
      #expect(result.usage.generatedTokens <= whole.usage.generatedTokens)
      spared += whole.usage.generatedTokens - result.usage.generatedTokens
    }
    #expect(spared > 0)
    #expect(engine.pagesInUse == 0)
  }

  @Test func firstFinishReportsWhatItCancelled() async throws {
    let (session, _) = try makeSession(HashedWorld(seed: 5, endBias: 2))
    let trace = TraceRecorder()
    _ = try await session.run(
      request("?", "first-finish", ["n=8"], seed: 4, maxTokens: 400), trace: trace)
    let event = try #require(
      try traceEvents(trace).first { $0["name"] as? String == "first-finish" })
    let details = try #require(event["args"] as? [String: Any])
    #expect(details["finished"] as? Bool == true)
    #expect((details["cancelled_branches"] as? Int ?? 0) > 0)
    #expect((details["cancelled_tokens"] as? Int ?? 0) > 0)
  }

  @Test(arguments: [
    "greedy", "sample", "best-of-n", "best-of-n-c", "self-consistency", "first-finish",
  ])
  func oneSeedGivesOneResult(strategy: String) async throws {
    let world = HashedWorld(seed: 9, endBias: 2.5)
    var results: [RunResult] = []
    for _ in 0..<2 {
      let (session, engine) = try makeSession(world)
      results.append(try await session.run(request("abc", strategy, seed: 77, maxTokens: 60)))
      #expect(engine.pagesInUse == 0)
    }
    #expect(results[0].withoutTiming == results[1].withoutTiming)
    if strategy != "greedy" {
      let (session, _) = try makeSession(world)
      let other = try await session.run(request("abc", strategy, seed: 78, maxTokens: 60))
      #expect(other.text != results[0].text)
    }
  }
}
