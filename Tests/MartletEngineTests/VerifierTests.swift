import Foundation
import MartletEngine
import MartletSimulation
import Synchronization
import Testing

/// Guesses tested by rejection: the distribution of whole texts is that of plain sampling, whoever
/// guesses and whatever is guessed; and the tests would notice if it were not.
@Suite("Verifiers of drafts", .serialized)
struct VerifierTests {
  private static let codec = WordCodec(words: ["a", "b", "c", "d"])
  private static let prompt: [Int32] = [0, 1, 2]
  private static let length = 4
  /// One false alarm in two million, for a score that is nearly normal.
  private static let alarm = 4.9

  private static func world(_ seed: UInt64, like other: (any SimulatedWorld)? = nil)
    -> ClosureWorld
  {
    let hashed = HashedWorld(codec: codec, seed: seed, spread: 1.2)
    return ClosureWorld(codec: codec) { tokens in
      let own = hashed.logits(after: tokens)
      guard let other else { return own }
      return zip(own, other.logits(after: tokens)).map { 0.6 * $0 + 0.8 * $1 }
    }
  }

  private static let target = world(5)

  private static let sampling: SamplingOptions = {
    var sampling = SamplingOptions()
    sampling.temperature = 0.9
    sampling.topP = 0.93
    return sampling
  }()

  /// Passes are said to take long enough for drafters to pay, whatever the machine does meanwhile.
  private static func backend() -> PricedBackend {
    PricedBackend(
      nearlyFree: SimulatedBackend(
        world: target, contextLength: 64, pageTokens: 4, bytesPerPage: 1000,
        maximumBatchTokens: 128))
  }

  /// A small model that says nearly what the target says.
  private static func model() throws -> ModelDrafter {
    try ModelDrafter(
      name: "small",
      backend: SimulatedBackend(
        world: world(6, like: target), contextLength: 64, pageTokens: 4, bytesPerPage: 1000))
  }

  /// The probability of every text, by its index.
  private static func exact() -> [Double] {
    let size = codec.vocabularySize
    var result = [1.0]
    for place in 0..<length {
      result = result.indices.flatMap { index in
        var text: [Int32] = []
        var rest = index
        for _ in 0..<place {
          text.insert(Int32(rest % size), at: 0)
          rest /= size
        }
        let law = referenceDistribution(
          target.logits(after: prompt + text), sampling, history: prompt + text)
        return law.map { result[index] * $0 }
      }
    }
    return result
  }

  /// Texts of many branches against their exact probabilities.
  private func play(
    _ drafting: Drafting, runs: Int = 1000, seed: UInt64 = 1
  ) throws -> (score: Double, accepted: Int, drafted: Int) {
    let engine = try Engine(backend: Self.backend())
    defer { engine.shutdown() }
    let size = Self.codec.vocabularySize
    let exact = Self.exact()
    var counts = [Int](repeating: 0, count: exact.count)
    for run in 0..<runs {
      let run = try engine.makeRun(
        prompt: Self.prompt, seed: seed &* 1_000_003 &+ UInt64(run), sampling: Self.sampling,
        drafting: drafting)
      let branches = try run.root.fork(8)
      try run.advanceBlocking(branches, Advance(maxTokens: Self.length))
      for branch in branches {
        counts[branch.tokens.reduce(0) { $0 * size + Int($1) }] += 1
        branch.release()
      }
    }
    let statistics = engine.statistics
    return (chiSquareScore(counts, exact), statistics.acceptedTokens, statistics.draftedTokens)
  }

  private static let exactVerifiers: [Verifier] = [
    .noise, .chain, .recursive(width: 2), .recursive(width: 4), .distinct(width: 2),
    .distinct(width: 3), .weighted(width: 2), .weighted(width: 4),
  ]

  @Test(
    "texts drafted by a model have the distribution of plain sampling", arguments: exactVerifiers)
  func models(verifier: Verifier) throws {
    var drafting = Drafting([], drafter: try Self.model())
    drafting.verifier = verifier
    let played = try play(drafting)
    #expect(played.score < Self.alarm, "\(verifier.name)")
    #expect(played.accepted > 2000, "\(verifier.name): hardly anything was accepted")
  }

  @Test("so have texts drafted from text", arguments: [Verifier.chain, .recursive(width: 3)])
  func texts(verifier: Verifier) throws {
    var drafting = Drafting([.siblings, .trie, .ngram])
    drafting.verifier = verifier
    let played = try play(drafting, seed: 2)
    #expect(played.score < Self.alarm, "\(verifier.name)")
    #expect(played.accepted > 500, "\(verifier.name): hardly anything was accepted")
  }

  @Test("typical acceptance changes the distribution, and the test sees it")
  func typical() throws {
    var drafting = Drafting([], drafter: try Self.model())
    drafting.verifier = .typical(epsilon: 0.09, delta: 0.3)
    let played = try play(drafting)
    #expect(played.score > Self.alarm, "typical acceptance changes the distribution")
    #expect(played.accepted > 2000)
  }

  @Test("where nothing is left to chance every verifier gives the same text")
  func greedy() throws {
    func text(_ drafting: Drafting) throws -> [Int32] {
      let engine = try Engine(backend: Self.backend())
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: Self.prompt, sampling: .greedy, drafting: drafting)
      try run.advanceBlocking([run.root], Advance(maxTokens: 50))
      if drafting.isOn { #expect(run.statistics.acceptedTokens > 10) }
      return run.root.tokens
    }
    let expected = try text(.off)
    for verifier in Self.exactVerifiers + [.typical(epsilon: 0.09, delta: 0.3)] {
      var drafting = Drafting([.ngram], drafter: try Self.model())
      drafting.verifier = verifier
      #expect(try text(drafting) == expected, "\(verifier.name)")
    }
  }

  @Test("text that is tested by rejection meets its constraint")
  func constrained() throws {
    let engine = try Engine(backend: Self.backend())
    defer { engine.shutdown() }
    var drafting = Drafting([.siblings], drafter: try Self.model())
    drafting.verifier = .recursive(width: 3)
    for seed in UInt64(0)..<20 {
      let run = try engine.makeRun(
        prompt: Self.prompt, seed: seed, constraint: .regex("(a(b|c)d*|dd[ab]+c)+a"),
        drafting: drafting)
      let branches = try run.root.fork(4)
      try run.advanceBlocking(branches, Advance(maxTokens: 40))
      for branch in branches where branch.stop == .endOfSequence {
        #expect(branch.text.wholeMatch(of: /(a(b|c)d*|dd[ab]+c)+a/) != nil, "\(branch.text)")
      }
    }
  }

  @Test("a wrong law, and guesses kept for being likely, are noticed")
  func mutants() throws {
    for width in [1, 2] {
      for fault in ScriptedDrafter.Fault.allCases {
        var drafting = Drafting([], drafter: ScriptedDrafter(fault, width: width))
        drafting.verifier = width == 1 ? .chain : .recursive(width: width)
        let played = try play(drafting)
        if fault == .none {
          #expect(played.score < Self.alarm, "width \(width)")
        } else {
          #expect(played.score > Self.alarm, "\(fault) at width \(width) was not noticed")
        }
        #expect(played.drafted > 5000, "hardly anything was drafted")
      }
    }
  }

  @Test("laws that are not those of their guesses are refused")
  func refusedLaws() throws {
    let engine = try Engine(backend: Self.backend())
    defer { engine.shutdown() }
    var drafting = Drafting([], drafter: ScriptedDrafter(.none, width: 1, entries: 3))
    drafting.verifier = .chain
    let run = try engine.makeRun(prompt: Self.prompt, drafting: drafting)
    try run.advanceBlocking([run.root], Advance(maxTokens: 30))
    #expect(run.root.tokens.count == 30 && run.statistics.draftedTokens == 0)
  }

  @Test("verifiers are read from text")
  func parse() throws {
    for verifier in Self.exactVerifiers + [.typical(epsilon: 0.1, delta: 0.5)] {
      #expect(try Verifier.parse(verifier.name) == verifier)
    }
    #expect(try Verifier.parse("weighted") == .weighted(width: 3))
    #expect(try Verifier.parse("typical") == .typical(epsilon: 0.09, delta: 0.3))
    for (text, part) in [
      ("chains", "unknown"), ("chain=2", "unknown"), ("recursive=1", "2 and 8"),
      ("weighted=x", "'x'"), ("typical=1", "EPSILON:DELTA"), ("typical=-1:1", "not negative"),
    ] {
      let error = engineError { try Verifier.parse(text) }
      #expect(error?.code == .argument && error?.message.contains(part) ?? false, "\(text)")
    }
    var bad = Drafting.auto
    bad.verifier = .distinct(width: 0)
    let engine = try Engine(backend: Self.backend())
    defer { engine.shutdown() }
    #expect(engineError { try engine.makeRun(prompt: [1], drafting: bad) }?.code == .argument)
  }
}

/// Draws guesses from a law that depends on the last token alone and states it, or another, or leaves
/// out what it thinks unlikely.
private final class ScriptedDrafter: Drafter {
  enum Fault: CaseIterable {
    case none, wrongLaw, likelyOnly
  }
  let name = "scripted"
  private let fault: Fault
  private let width: Int
  private let entries: Int
  private let random = Mutex(TestRandom(seed: 77))

  init(_ fault: Fault, width: Int, entries: Int? = nil) {
    self.fault = fault
    self.width = width
    self.entries = entries ?? WordCodec(words: ["a", "b", "c", "d"]).vocabularySize
  }

  /// Four words are guessed, others never.
  private func law(after token: Int32) -> [Float] {
    let weights: [Float] = [0.55, 0.25, 0.15, 0.05]
    return (0..<entries).map { $0 < 4 ? weights[($0 + Int(token)) % 4] : 0 }
  }

  func propose(
    _ sequences: [DraftSequence], economy: DraftEconomy
  ) throws(EngineError) -> DraftRound {
    random.withLock { random in
      DraftRound(
        proposals: sequences.map { sequence in
          var tree = DraftProposal()
          var level = [(parent: -1, token: sequence.tokens.last!)]
          for _ in 0..<min(2, sequence.depth) {
            var next: [(parent: Int, token: Int32)] = []
            for (parent, token) in level {
              let law = law(after: token)
              let drawn = (0..<width).map { _ in
                let uniform = Float(random.uniform())
                var sum: Float = 0
                return Int32(
                  law.firstIndex {
                    sum += $0; return sum > uniform
                  } ?? 0)
              }
              if fault == .likelyOnly, !drawn.allSatisfy({ law[Int($0)] > 0.2 }) { continue }
              var seen: Set<Int32> = []
              for token in drawn where seen.insert(token).inserted {
                let index = tree.append(
                  .init(token: token, parent: parent, rank: 0, probability: law[Int(token)]))
                next.append((index, token))
              }
              let stated =
                fault == .wrongLaw
                ? law.map { $0 == 0 ? 0 : $0 * 0.4 + 0.15 } : law
              tree.setLaw(DraftLaw(probabilities: stated, tokens: drawn), after: parent)
            }
            level = next
          }
          return tree
        })
    }
  }
}
