import Testing

import MartletBench

@Suite struct SamplesTests {
  @Test func medianAndMinimum() {
    #expect(Samples([3, 1, 2]).median == 2)
    #expect(Samples([4, 1, 2, 3]).median == 2.5)
    #expect(Samples([4, 1, 2, 3]).minimum == 1)
    #expect(Samples().median == 0)
  }

  /// Ranks of the binomial distribution: the smallest interval that holds the median with 95 %.
  @Test(arguments: [
    (1, 1, 1), (5, 1, 5), (6, 1, 6), (8, 1, 8), (9, 2, 8), (12, 3, 10), (20, 6, 15),
  ])
  func intervalRanks(count: Int, low: Int, high: Int) {
    let samples = Samples((1...count).map(Double.init).reversed())
    #expect(samples.interval == Double(low)...Double(high))
  }

  /// What the interval promises, on samples of a skewed distribution.
  @Test func intervalHoldsTheMedian() {
    var random = SplitMix(state: 1)
    var held = 0
    let trials = 2_000
    for _ in 0..<trials {
      let samples = Samples(
        (0..<11).map { _ in
          let uniform = Double.random(in: 0..<1, using: &random)
          return uniform * uniform * uniform
        })
      if samples.interval.contains(0.125) { held += 1 }
    }
    // 95 % at least, with four standard deviations of slack.
    #expect(Double(held) / Double(trials) > 0.93)
  }
}

/// SplitMix64, by Sebastiano Vigna.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
