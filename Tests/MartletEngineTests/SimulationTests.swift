import Foundation
import MartletEngine
import MartletSimulation
import Testing

@Suite("Simulation")
struct SimulationTests {
  private let script = """
    # Two steps, three ways to end.
    prompt "2+2="
    first: "so " 0.5 -> think, "4" 0.2 -> right, "5" 0.3 -> wrong
    think: "4" 0.6 -> right, "5" 0.4 -> wrong
    right: reward 1
    wrong: end 0.9, "!" 0.1 -> shout, reward 0.25
    shout: reward -1
    """

  @Test("the outcomes of a script are exact, and so are its optima")
  func outcomes() throws {
    let world = try ScriptedWorld(script: script)
    let outcomes = world.outcomes(maxTokens: 10)
    #expect(abs(outcomes.reduce(0) { $0 + $1.probability } - 1) < 1e-12)
    let expected = [
      "so 4": 0.3, "5": 0.27, "4": 0.2, "so 5": 0.18, "5!": 0.03, "so 5!": 0.02,
    ]
    #expect(outcomes.map(\.text) == ["so 4", "5", "4", "so 5", "5!", "so 5!"])
    for outcome in outcomes { #expect(abs(outcome.probability - expected[outcome.text]!) < 1e-12) }
    #expect(world.best(maxTokens: 10).text == "so 4")
    let right = 0.2 + 0.5 * 0.6
    let shout = 0.5 * 0.1
    let expectation = right + (0.5 - shout) * 0.25 - shout
    #expect(abs(world.expectedReward(maxTokens: 10) - expectation) < 1e-12)
    let all = 1 - pow(1 - right, 4)
    let none = pow(shout, 4)
    let best = all + (1 - all - none) * 0.25 - none
    #expect(abs(world.expectedBest(of: 4, maxTokens: 10) - best) < 1e-12)
    #expect(world.outcomes(maxTokens: 1).contains { !$0.isFinished && $0.state == "think" })
    #expect(world.reward(of: "so 4") == 1 && world.reward(of: "5!") == -1)
    #expect(world.reward(of: "4 4") == 0)
  }

  /// 4,000 branches over 6 outcomes at z < 5.5.
  @Test("the engine's texts follow the exact outcomes")
  func engineFollows() throws {
    let world = try ScriptedWorld(script: script)
    let cost = SimulatedCost(perForward: 0.01, perRow: 0.001)
    let backend = SimulatedBackend(world: world, cost: cost)
    let engine = try Engine(backend: backend)
    let outcomes = world.outcomes(maxTokens: 10)
    var counts = [String: Int]()
    var reward = 0.0
    for seed in UInt64(0)..<8 {
      let run = try engine.makeRun(prompt: world.promptTokens, seed: seed)
      let children = try run.root.fork(500)
      try run.advanceBlocking(children)
      for child in children {
        #expect(child.stop == .endOfSequence)
        counts[child.text, default: 0] += 1
        reward += world.reward(of: child.text)
        let exact = outcomes.first { $0.text == child.text }!
        #expect(abs(exp(child.logprob) - exact.probability) < 1e-6)
      }
    }
    #expect(counts.values.reduce(0, +) == 4000)
    let score = chiSquareScore(
      outcomes.map { counts[$0.text] ?? 0 }, outcomes.map(\.probability))
    #expect(score < 5.5)
    #expect(abs(reward / 4000 - world.expectedReward(maxTokens: 10)) < 0.06)
    let statistics = backend.statistics
    #expect(statistics.forwards == engine.statistics.forwards)
    #expect(
      abs(
        statistics.virtualSeconds - 0.01 * Double(statistics.forwards)
          - 0.001 * Double(statistics.rows)) < 1e-9)
    #expect(backend.statistics.reservedPages >= engine.statistics.peakPages)
  }

  @Test("scripts and worlds with a fault say where")
  func faults() {
    let cases = [
      ("", "no state"), ("a: \"x\" 0.5 -> a", "0.5"), ("a: \"x\" 1 -> b", "'b'"),
      ("a: reward 1\na: reward 2", "line 2"), ("a: \"x 1 -> a", "quote"),
      ("a: \"x\" one -> a", "'one'"), ("a reward 1", "':'"), ("a: punish 1", "punish"),
      ("a: reward 1 2", "line 1"), ("a: \"x\" 0.5 -> a, \"x\" 0.5 -> a", "twice"),
      ("prompt \"q\"\na: \"q\" 1 -> a", "prompt"), ("a: \"\\q\" 1 -> a", "backslash"),
      ("a: \"\" 1 -> a", "empty"), ("a: \"x\" 1.5 -> a, end -0.5", "1.5"),
    ]
    for (script, part) in cases {
      do {
        _ = try ScriptedWorld(script: script)
        Issue.record("no error for \(script)")
      } catch {
        #expect(error.message.contains(part), "\(script): \(error.message)")
      }
    }
  }

  @Test("appended text outside the script leads to a lost state that ends")
  func lost() throws {
    let world = try ScriptedWorld(script: script)
    let engine = try Engine(backend: SimulatedBackend(world: world))
    let run = try engine.makeRun(prompt: world.promptTokens)
    try run.root.append(text: "!")
    try run.advanceBlocking([run.root])
    #expect(run.root.text == "!" && run.root.stop == .endOfSequence)
    #expect(world.reward(of: run.root.text) == 0)
  }

  @Test("the backend refuses batches that break the contract")
  func contract() throws {
    let backend = hashedBackend(context: 16, pageTokens: 4, maximumBatch: 3)
    try backend.reservePages(3)
    let logits = try LogitsBuffer(rows: 4, vocabulary: backend.vocabularySize)
    func refused(_ tokens: [(position: Int, sequence: Int)], _ tables: [[PageID]]) -> Bool {
      let batch = ForwardBatch(
        tokens: tokens.map {
          BatchToken(token: 1, position: $0.position, sequence: $0.sequence, wantsLogits: true)
        }, sequences: tables)
      return engineError { try backend.forward(batch, logits: logits) }?.code == .backend
    }
    #expect(!refused([(0, 0), (1, 0), (0, 1)], [[0], [1]]))
    #expect(refused([(0, 0), (0, 1)], [[0], [0]]), "two writers of a page")
    #expect(refused([(0, 0), (2, 0)], [[0]]), "a gap")
    #expect(refused([(4, 0)], [[0]]), "no page")
    #expect(refused([(0, 0)], [[7]]), "a page not reserved")
    #expect(refused([(16, 0)], [[0, 1, 2, 0, 1]]), "beyond the context")
    #expect(refused([(0, 1)], [[0]]), "no such sequence")
    #expect(refused([(0, 0), (1, 0), (2, 0), (3, 0)], [[0]]), "too many tokens")
    #expect(refused([(8, 0)], [[0, 1, 2]]), "positions never written")
  }

  @Test("codecs: words by longest match, bytes as they are")
  func codecs() {
    let codec = WordCodec(words: ["a", "ab", "abc", "é"])
    #expect(codec.encode("abcabaé", addSpecial: true, parseSpecial: false) == [2, 1, 0, 3])
    #expect(codec.encode("a√a", addSpecial: false, parseSpecial: false) == [0, 5, 0])
    #expect(codec.text(of: [2, 3, 4, 5]) == "abcé\u{FFFD}")
    let bytes = ByteCodec()
    #expect(bytes.text(of: bytes.encode("é€x", addSpecial: true, parseSpecial: false)) == "é€x")
    #expect(bytes.encode("a", addSpecial: true, parseSpecial: false) == [257, 97])
  }
}
