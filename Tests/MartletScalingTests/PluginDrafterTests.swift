import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// A language that says the same few words over and over, with a surprise now and then.
private let chorus: ClosureWorld = {
  let words = ["a", "b", "c", "d", "e", "f"]
  let codec = WordCodec(words: words)
  let surprise = HashedWorld(codec: codec, seed: 4, spread: 2)
  return ClosureWorld(codec: codec) { tokens in
    var row = surprise.logits(after: Array(tokens.suffix(4)))
    row[(Int(tokens.last ?? 0) * 5 + 1) % words.count] += 6
    row[Int(codec.end)] = -.infinity
    return row
  }
}()

@Suite("Drafters from plugins")
struct PluginDrafterTests {
  private func texts(_ drafting: Drafting) throws -> (texts: [[Int32]], statistics: RunStatistics) {
    let engine = try Engine(backend: SimulatedBackend(world: chorus, contextLength: 512))
    let run = try engine.makeRun(prompt: [0, 1, 2], seed: 9, drafting: drafting)
    let branches = try run.root.fork(2)
    try run.advanceBlocking(branches, Advance(maxTokens: 120))
    return (branches.map(\.tokens), run.statistics)
  }

  @Test("guesses come true, and no text depends on them")
  func phrases() throws {
    var drafting = Drafting([])
    drafting.drafter = try PluginDrafter("phrases", plugins: shipped)
    let (plain, _) = try texts(.off)
    let (drafted, statistics) = try texts(drafting)
    #expect(plain == drafted)
    #expect(statistics.guessedTokens > 0)
  }

  @Test("what is wrong is said")
  func refusals() {
    #expect(throws: ScalingError.self) { try PluginDrafter("nobody", plugins: shipped) }
    #expect(throws: ScalingError.self) {
      try PluginDrafter("phrases", options: ["longest": "0"], plugins: shipped)
    }
  }

  @Test("a drafter is named as other drafts are")
  func parsing() throws {
    #expect(try Drafting.parse("plugin=phrases").model == .plugin("phrases"))
    #expect(throws: EngineError.self) { try Drafting.parse("plugin=") }
  }
}
