import Foundation
import MartletEngine
import MartletKernels
import Testing

/// Draws for siblings, counterfactual draws, DRY, FIRE, and Mirostat, as a user sees them.
@Suite("Draws of siblings and rules with memory")
struct SiblingDrawTests {
  private func row(_ random: inout TestRandom, _ count: Int) -> [Float] {
    (0..<count).map { _ in Float(random.uniform() * 6 - 3) }
  }

  @Test("arithmetic siblings each follow the distribution and together spread over it")
  func arithmetic() throws {
    var random = TestRandom(seed: 5)
    let logits = row(&random, 24)
    let options = try SamplingOptions.parse("draw=arithmetic,top-p=0.9")
    let expected = referenceDistribution(logits, options)
    var sampler = Sampler(options: options)
    var perSibling = [[Int]](repeating: [Int](repeating: 0, count: 24), count: 4)
    for _ in 0..<6000 {
      let group = try sampler.sampleGroup(
        logits.span, history: [], count: 4,
        noise: SamplingNoise(uniform: random.uniform(), bits: random.next()))
      #expect(group.count == 4)
      for (sibling, drawn) in group.enumerated() { perSibling[sibling][Int(drawn.token)] += 1 }
      // A token of probability p is drawn floor(4p) or ceil(4p) times.
      for (token, p) in expected.enumerated() where p > 0 {
        let times = group.count { Int($0.token) == token }
        #expect(Double(times) >= (4 * p - 1e-6).rounded(.down) - (p == 1 ? 1 : 0))
        #expect(Double(times) <= (4 * p + 1e-6).rounded(.down) + 1)
      }
    }
    for counts in perSibling { #expect(chiSquareScore(counts, expected) < 5.5) }
  }

  @Test("siblings without replacement are distinct and follow the successive-draw law")
  func withoutReplacement() throws {
    var random = TestRandom(seed: 8)
    let logits = row(&random, 7)
    let options = try SamplingOptions.parse("draw=without-replacement,temperature=1.3")
    let p = referenceDistribution(logits, options)
    var sampler = Sampler(options: options)
    var pairs = [Int](repeating: 0, count: 49)
    for _ in 0..<40000 {
      let group = try sampler.sampleGroup(
        logits.span, history: [], count: 3,
        noise: SamplingNoise(uniform: random.uniform(), bits: random.next()))
      #expect(Set(group.map(\.token)).count == 3)
      pairs[Int(group[0].token) * 7 + Int(group[1].token)] += 1
    }
    let expected = (0..<49).map { pair in
      let (a, b) = (pair / 7, pair % 7)
      return a == b ? 0 : p[a] * p[b] / (1 - p[a])
    }
    #expect(chiSquareScore(pairs, expected) < 5.5)
    let all = try sampler.sampleGroup(
      logits.span, history: [], count: 20, noise: SamplingNoise(uniform: 0.3))
    #expect(Set(all.map(\.token)).count == 7, "no more siblings than tokens")
  }

  @Test("independent siblings of one noise differ from each other as separate draws do")
  func independent() throws {
    var random = TestRandom(seed: 21)
    let logits = row(&random, 6)
    for text in ["draw=inverse", "draw=gumbel"] {
      let options = try SamplingOptions.parse(text)
      let p = referenceDistribution(logits, options)
      var sampler = Sampler(options: options)
      var pairs = [Int](repeating: 0, count: 36)
      for _ in 0..<20000 {
        let group = try sampler.sampleGroup(
          logits.span, history: [], count: 2,
          noise: SamplingNoise(uniform: random.uniform(), bits: random.next()))
        pairs[Int(group[0].token) * 6 + Int(group[1].token)] += 1
      }
      let expected = (0..<36).map { p[$0 / 6] * p[$0 % 6] }
      #expect(chiSquareScore(pairs, expected) < 5.5, "\(text)")
    }
  }

  /// Under the same noise an intervention that raises one token either selects it or changes
  /// nothing: what makes Gumbel draws counterfactuals.
  @Test("the same noise over other logits is a counterfactual")
  func counterfactual() throws {
    var random = TestRandom(seed: 13)
    let logits = row(&random, 40)
    var raised = logits
    raised[17] += 4
    var sampler = Sampler(options: try .parse("draw=gumbel"))
    var moved = 0
    for _ in 0..<3000 {
      let noise = SamplingNoise(uniform: random.uniform(), bits: random.next())
      let factual = try sampler.sample(logits.span, history: [], noise: noise).token
      let other = try sampler.sample(raised.span, history: [], noise: noise).token
      #expect(other == factual || other == 17)
      if other != factual { moved += 1 }
    }
    #expect(moved > 50)
  }

  @Test("DRY penalises what would continue a repetition, by its length")
  func dry() {
    func penalties(_ history: [UInt32], allowed: Int = 2, breakers: [UInt32] = []) -> [UInt32:
      Float]
    {
      Dictionary(
        uniqueKeysWithValues: Kernels.dryPenalties(
          history, multiplier: 0.5, base: 2, allowed: allowed, breakers: breakers
        ).map { ($0.token, $0.subtracted) })
    }
    #expect(penalties([1, 2, 3, 4, 1, 2, 3]) == [4: 1])
    #expect(penalties([1, 2, 3, 4, 9, 2, 3]) == [4: 0.5])
    #expect(penalties([1, 2, 3, 4, 9, 9, 3]) == [:])
    #expect(penalties([1, 2, 3, 4, 1, 2, 3], breakers: [2]) == [:])
    #expect(penalties([7, 7, 7, 7]) == [7: 1])
    #expect(penalties([1, 2, 5, 1, 2, 6, 1, 2]) == [5: 0.5, 6: 0.5])
    // Against the definition, over random histories of few tokens.
    var random = TestRandom(seed: 3)
    for _ in 0..<300 {
      let history = (0..<Int.random(in: 2...40, using: &random)).map { _ in
        UInt32.random(in: 0..<3, using: &random)
      }
      var expected: [UInt32: Float] = [:]
      for i in 0..<history.count - 1 {
        var n = 0
        while n <= i, history[i - n] == history[history.count - 1 - n] { n += 1 }
        if n >= 2 {
          expected[history[i + 1]] = max(
            expected[history[i + 1]] ?? 0, 0.5 * Float(pow(2, Double(n - 2))))
        }
      }
      #expect(penalties(history) == expected)
    }
  }

  @Test("a hot first token, and Mirostat's state, follow their definitions")
  func memory() throws {
    let logits: [Float] = [4, 0, 0, 0]
    var sampler = Sampler(options: try .parse("temperature=0.1,first-temperature=1000"))
    var random = TestRandom(seed: 4)
    var first = 0
    for _ in 0..<400 {
      let noise = SamplingNoise(uniform: random.uniform())
      let later = try sampler.sample(logits.span, history: [], noise: noise, generated: 1)
      #expect(later.token == 0)
      if try sampler.sample(logits.span, history: [], noise: noise, generated: 0).token != 0 {
        first += 1
      }
    }
    #expect((250...350).contains(first))

    // At mu = 0 bits only the most likely token is left.
    var mirostat = Sampler(options: try .parse("mirostat-tau=3"))
    let one = try mirostat.sample(
      logits.span, history: [], noise: .init(uniform: 0.99), mirostatMu: 0)
    #expect(one.token == 0 && one.kept == 1 && one.keptLogprob == 0)
  }

  @Test("the whole distribution sums to one and equals the reference")
  func distribution() throws {
    var random = TestRandom(seed: 31)
    for trial in 0..<60 {
      let logits = row(&random, [5, 300, 5000][trial % 3])
      let options = try SamplingOptions.parse(
        ["", "top-p=0.8,temperature=0.7", "min-p=0.1", "top-k=9,typical=0.8"][trial % 4])
      var sampler = Sampler(options: options)
      let p = try sampler.distribution(logits.span, history: [])
      let expected = referenceDistribution(logits, options)
      #expect(abs(p.reduce(0) { $0 + Double($1) } - 1) < 1e-6)
      #expect(zip(p, expected).allSatisfy { abs(Double($0) - $1) < 1e-6 })
    }
  }

  @Test("a mask allows what it names, and nothing is an error")
  func mask() throws {
    let logits = [Float](repeating: 0, count: 70)
    var sampler = Sampler(options: try .parse("temperature=0.9"))
    var mask = TokenMask(words: [1 << 37, 1 << 2], vocabularySize: 70)
    var seen: Set<Int32> = []
    for i in 0..<50 {
      seen.insert(
        try sampler.sample(
          logits.span, history: [], noise: .init(uniform: Double(i) / 50), allowed: mask
        ).token)
    }
    #expect(seen == [37, 66])
    mask = TokenMask(words: [0, 0], vocabularySize: 70)
    #expect(
      engineError {
        try sampler.sample(logits.span, history: [], noise: .init(uniform: 0), allowed: mask)
      }?.code == .argument)
  }
}
