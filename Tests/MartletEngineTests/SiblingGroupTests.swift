import Foundation
import MartletEngine
import MartletSimulation
import Testing

/// `fork(n)` under draws that siblings make together.
@Suite("Draws of forked siblings")
struct SiblingGroupTests {
  private let prompt = tokens("abc de")

  /// The first `count` tokens of `width` siblings.
  private func texts(
    _ sampling: String, width: Int, count: Int = 1, seed: UInt64 = 1, on engine: Engine,
    drafting: Drafting = .off, oneByOne: Bool = false
  ) throws -> [[Int32]] {
    let run = try engine.makeRun(
      prompt: prompt, seed: seed, sampling: try .parse(sampling), drafting: drafting)
    let branches = try run.root.fork(width)
    if oneByOne {
      for branch in branches.reversed() {
        try run.advanceBlocking([branch], Advance(maxTokens: count))
      }
    } else {
      try run.advanceBlocking(branches, Advance(maxTokens: count))
    }
    return branches.map(\.tokens)
  }

  private func law(_ backend: SimulatedBackend, _ sampling: String, after text: [Int32]) throws
    -> [Double]
  {
    referenceDistribution(backend.world.logits(after: text), try .parse(sampling))
  }

  @Test("without replacement, first tokens are distinct while there are tokens")
  func distinct() throws {
    let backend = hashedBackend()
    let engine = try Engine(backend: backend)
    let sampling = "draw=without-replacement,temperature=2"
    let choices = try law(backend, sampling, after: prompt).count { $0 > 0 }
    for seed in 0..<40 {
      let few = try texts(sampling, width: 6, seed: UInt64(seed), on: engine)
      #expect(Set(few.map { $0[0] }).count == 6)
      // Each is taken before one is taken again.
      let many = try texts(sampling, width: 2 * choices + 5, seed: UInt64(seed), on: engine)
        .map { $0[0] }
      let (one, two) = (many[..<choices], many[choices..<2 * choices])
      #expect(Set(one).count == choices && Set(two).count == choices)
      #expect(Set(many[(2 * choices)...]).count == 5)
      #expect(Array(one) != Array(two))
    }
  }

  @Test("without replacement, siblings follow the law of successive draws")
  func successive() throws {
    let backend = hashedBackend()
    let engine = try Engine(backend: backend)
    let sampling = "draw=without-replacement,temperature=1.5,top-k=6"
    let p = try law(backend, sampling, after: prompt)
    let width = p.count
    var pairs = [Int](repeating: 0, count: width * width)
    for seed in 0..<6000 {
      let drawn = try texts(sampling, width: 3, seed: UInt64(seed), on: engine).map { Int($0[0]) }
      pairs[drawn[0] * width + drawn[1]] += 1
    }
    let expected = pairs.indices.map { pair in
      let (a, b) = (pair / width, pair % width)
      return a == b || p[a] == 0 ? 0 : p[a] * p[b] / (1 - p[a])
    }
    #expect(chiSquareScore(pairs, expected) < 5.5)
  }

  @Test("arithmetic siblings each follow the distribution, and together cover it")
  func arithmetic() throws {
    let backend = hashedBackend()
    let engine = try Engine(backend: backend)
    let sampling = "draw=arithmetic,temperature=1.3"
    let p = try law(backend, sampling, after: prompt)
    var first = [[Int]](repeating: [Int](repeating: 0, count: p.count), count: 4)
    var second = [[Int]](repeating: [Int](repeating: 0, count: p.count), count: p.count)
    for seed in 0..<6000 {
      let group = try texts(sampling, width: 4, count: 2, seed: UInt64(seed), on: engine)
      for (sibling, text) in group.enumerated() { first[sibling][Int(text[0])] += 1 }
      second[Int(group[2][0])][Int(group[2][1])] += 1
      for (token, share) in p.enumerated() {
        let times = Double(group.count { Int($0[0]) == token })
        #expect(times >= (4 * share - 1e-6).rounded(.down))
        #expect(times <= (4 * share + 1e-6).rounded(.down) + 1)
      }
    }
    for counts in first { #expect(chiSquareScore(counts, p) < 5.5) }
    for (token, counts) in second.enumerated() where counts.reduce(0, +) > 100 {
      let q = try law(backend, sampling, after: prompt + [Int32(token)])
      #expect(chiSquareScore(counts, q) < 5.5, "the second token, drawn alone, after \(token)")
    }
  }

  @Test("priority takes the most likely tokens in order, and goes on by the most likely")
  func priority() throws {
    let backend = hashedBackend()
    let engine = try Engine(backend: backend)
    let group = try texts("draw=priority", width: 5, count: 20, on: engine)
    func ranked(_ text: [Int32]) -> [Int32] {
      let row = backend.world.logits(after: text)
      return row.indices.sorted { (row[$1], $0) < (row[$0], $1) }.map { Int32($0) }
    }
    #expect(group.map { $0[0] } == Array(ranked(prompt).prefix(5)))
    for text in group {
      for i in 1..<text.count { #expect(text[i] == ranked(prompt + text[..<i])[0]) }
    }
  }

  @Test(
    "the texts do not depend on batches, drafts, overrun or who advances first",
    arguments: ["arithmetic", "without-replacement", "priority"])
  func invariance(draw: String) throws {
    let sampling = "draw=\(draw),temperature=1.2"
    func run(
      _ configuration: EngineConfiguration = .init(), drafting: Drafting = .off, crowd: Int = 0,
      oneByOne: Bool = false
    ) throws -> [[Int32]] {
      let engine = try Engine(backend: repetitiveBackend(), configuration: configuration)
      defer { engine.shutdown() }
      let others = try (0..<crowd).map { try engine.makeRun(prompt: prompt, seed: UInt64($0 + 50)) }
      for other in others { try other.submit(other.root.fork(3), Advance(maxTokens: 60)) }
      return try texts(
        sampling, width: 5, count: 60, seed: 4, on: engine, drafting: drafting, oneByOne: oneByOne)
    }
    let plain = try run()
    #expect(Set(plain).count > 1)
    #expect(try run() == plain)
    #expect(try run(drafting: .auto) == plain)
    #expect(try run(oneByOne: true) == plain)
    #expect(try run(.init(prefillChunk: 2, overrun: 0, logitsCacheBytes: 0), crowd: 3) == plain)
    #expect(try run(drafting: .auto, crowd: 2, oneByOne: true) == plain)
  }

  @Test("clones of one ancestor are siblings; truncating leaves the group")
  func operations() throws {
    let engine = try Engine(backend: hashedBackend())
    func play() throws -> [[Int32]] {
      let run = try engine.makeRun(
        prompt: prompt, seed: 3,
        sampling: try .parse("draw=without-replacement,temperature=2"))
      var population = try run.root.fork(3)
      try run.advanceBlocking(population, Advance(maxTokens: 5))
      population = try run.resample(population, ancestors: [1, 0, 1, 1, 0])
      try run.advanceBlocking(population, Advance(maxTokens: 3))
      let next = population.map { $0.tokens[5] }
      #expect(Set([next[0], next[2], next[3]]).count == 3)
      #expect(next[1] != next[4])
      // Back to the fork: a new epoch draws alone, as a truncated branch always did.
      let before = population[0].tokens
      try population[0].truncate(toGenerated: 5)
      try run.advanceBlocking([population[0]], Advance(maxTokens: 3))
      #expect(population[0].tokens.prefix(5) == before.prefix(5))
      // A fork within a fork is a group of its own, and so is every call.
      let nested = try population[1].fork(4)
      let more = try population[1].fork(4)
      try run.advanceBlocking(nested + more, Advance(maxTokens: 2))
      #expect(Set(nested.map { $0.tokens[8] }).count == 4)
      #expect(Set(more.map { $0.tokens[8] }).count == 4)
      #expect(nested.map(\.tokens) != more.map(\.tokens))
      return (population + nested + more).map(\.tokens)
    }
    #expect(try play() == play())
  }

  @Test("what is rolled back is drawn again as it was")
  func rollback() throws {
    let engine = try Engine(backend: hashedBackend(), configuration: .init(overrun: 4))
    func play(cancelling: Bool) throws -> [[Int32]] {
      let run = try engine.makeRun(
        prompt: prompt, seed: 8, sampling: try .parse("draw=arithmetic,temperature=2"))
      let branches = try run.root.fork(4)
      if cancelling {
        try run.submit(branches, Advance(maxTokens: 6))
        while run.statistics.generatedTokens < 4 {}
        for branch in branches { branch.cancel() }
        #expect(branches.allSatisfy { $0.generatedTokens == 0 })
      }
      try run.advanceBlocking(branches, Advance(maxTokens: 6))
      return branches.map(\.tokens)
    }
    #expect(try play(cancelling: true) == play(cancelling: false))
  }

  @Test("text that a constraint forces after the fork does not end the group")
  func forced() throws {
    let engine = try Engine(backend: ConstraintEngineTests.backend())
    let constraint = try Constraint.regex("sum=[0-9]{3}")
    let run = try engine.makeRun(
      prompt: [1, 2, 3], seed: 2, sampling: try .parse("draw=without-replacement,temperature=3"),
      constraint: constraint)
    let branches = try run.root.fork(10)
    try run.advanceBlocking(branches)
    #expect(Set(branches.map { Array($0.text.utf8)[4] }).count == 10)
    #expect(branches.allSatisfy { constraint.accepts($0.text.utf8) })
  }

  @Test("under Mirostat every sibling knows how surprising its token was")
  func mirostat() throws {
    let backend = hashedBackend()
    let row = backend.world.logits(after: prompt)
    for draw in ["arithmetic", "without-replacement", "priority"] {
      var sampler = Sampler(options: try .parse("draw=\(draw),mirostat-tau=3"))
      let noise = SamplingNoise(uniform: 0.4, bits: 7)
      let law = try sampler.distribution(row.span, history: [], noise: noise)
      let group = try sampler.sampleGroup(row.span, history: [], count: 4, noise: noise)
      #expect(group.count == 4)
      for drawn in group {
        let kept = try #require(drawn.keptLogprob)
        #expect(abs(kept - logf(law[Int(drawn.token)])) < 1e-5)
      }
    }
  }
}
