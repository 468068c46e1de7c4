import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// Many runs that end in every way there is: nothing may stay behind.
@Suite struct EnduranceTests {
  @Test func nothingStaysBehind() async throws {
    let failing = try ["fails_early", "fails_late", "well_behaved"].map { try FixturePlugin($0) }
    let sessions = try failing.map { fixture in
      try makeSession(HashedWorld(seed: 9, endBias: 1), plugins: fixture.host)
    }
    var random = SplitMix64(state: 20_261_121)
    var endings: [String: Int] = [:]
    for round in 0..<120 {
      let index = Int(random.next() % 3)
      let (session, engine) = sessions[index]
      let ids = ["greedy", "best-of-n", "best-of-n-c", "self-consistency", "first-finish"]
      let id = random.next() % 4 == 0 ? failing[index].id : ids[Int(random.next() % 5)]
      var one = try request("abc", id, seed: random.next(), maxTokens: 40)
      switch random.next() % 4 {
      case 0: one.budget.tokens = 1 + Int(random.next() % 60)
      case 1: one.budget.seconds = 0.0001 * Double(1 + random.next() % 30)
      default: break
      }
      let (delay, cancels) = (random.next() % 3000, random.next() % 3 == 0)
      let work = Task { [one] in try await session.run(one) }
      if cancels {
        try await Task.sleep(for: .microseconds(Int64(delay)))
        work.cancel()
      }
      switch await work.result {
      case .success(let result):
        endings[result.stoppedBecause.rawValue, default: 0] += 1
        if let tokens = one.budget.tokens {
          #expect(result.usage.generatedTokens <= tokens, "round \(round)")
        }
      case .failure(let error):
        endings[(error as? ScalingError)?.code.rawValue ?? "\(error)", default: 0] += 1
      }
      #expect(engine.pagesInUse == 0, "round \(round)")
    }
    #expect(endings["finished"] ?? 0 > 0 && endings["budget_tokens"] ?? 0 > 0, "\(endings)")
    #expect(endings["plugin_failed"] ?? 0 > 0 && endings["plugin"] ?? 0 > 0, "\(endings)")
    #expect(endings["plugin_hung"] == nil, "\(endings)")
  }
}

/// A small generator with a stated seed, so that a failure replays.
private struct SplitMix64 {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
