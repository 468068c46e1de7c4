import Foundation
import Martlet
import MartletSimulation
import Testing

/// Drafting by heads through the engine: the same bits as without, in fewer passes.
@Suite(.serialized) struct HeadsDraftingTests {
  private let session: Session
  private let golden: HeadsGolden

  init() throws {
    session = try Session()
    golden = try HeadsGolden.read()
  }

  private struct Outcome: Equatable {
    var tokens: [[Token]] = []
    var logprobs: [[Float]] = []
  }

  private func drafter(_ name: String, _ target: any Backend) throws -> any Drafter {
    switch try DraftHeads.load(
      path: HeadsGolden.path(name), base: session.model, team: session.team)
    {
    case .medusa(let heads):
      return try MedusaDrafter(
        name: name,
        forward: MedusaForward(
          heads: heads, output: session.model.output, team: session.team, maximumRows: 3),
        target: target)
    case .eagle(let head):
      return try ModelDrafter(
        name: name,
        eagle: EagleForward(
          head: head, base: TransformerParts(model: session.model, tokenizer: session.tokenizer),
          team: session.team), target: target)
    }
  }

  /// All prompts, one after another, `width` branches each.
  private func generate(
    heads: String?, _ prompts: [String], width: Int, _ sampling: SamplingOptions,
    stateBytes: Int = 1 << 28
  ) throws -> (outcome: Outcome, accepted: Int, generated: Int) {
    let backend = PricedBackend(
      nearlyFree: try TransformerBackend(model: session.model, team: session.team))
    let engine = try Engine(backend: backend)
    defer { engine.shutdown() }
    var drafting = Drafting([])
    if let heads {
      drafting.drafter = try drafter(heads, backend)
      try engine.keepHiddenStates(byteLimit: stateBytes)
    }
    var outcome = Outcome()
    var accepted = 0
    for (index, prompt) in prompts.enumerated() {
      let run = try engine.makeRun(
        prompt: session.tokenizer.encode(prompt, addSpecial: true, parseSpecial: false),
        seed: UInt64(index), sampling: sampling, drafting: drafting)
      let branches = width == 1 ? [run.root] : try run.root.fork(width)
      try run.advanceBlocking(branches, Advance(maxTokens: 120))
      outcome.tokens += branches.map(\.tokens)
      outcome.logprobs += branches.map(\.logprobs)
      accepted += run.statistics.acceptedTokens
      for branch in branches { branch.release() }
      if width > 1 { run.root.release() }
    }
    #expect(engine.pagesInUse == 0)
    return (outcome, accepted, outcome.tokens.reduce(0) { $0 + $1.count })
  }

  @Test(arguments: [Float(0), 0.8])
  func textsOfHeldOutProblemsAreTheSameBits(temperature: Float) throws {
    var sampling = SamplingOptions()
    sampling.temperature = temperature
    let plain = try generate(heads: nil, golden.prompts, width: 1, sampling)
    #expect(golden.prompts.count == 200)
    for (heads, least) in [("eagle.gguf", 0.4), ("medusa.gguf", 0.2)] {
      let drafted = try generate(heads: heads, golden.prompts, width: 1, sampling)
      #expect(drafted.outcome == plain.outcome, "\(heads) changed a text")
      let share = Double(drafted.accepted) / Double(drafted.generated)
      #expect(share > least, "\(heads): only \(share) of the tokens were guessed")
    }
  }

  @Test(arguments: ["eagle.gguf", "medusa.gguf"])
  func branchesOfARunAndPenaltiesAreTheSameBits(heads: String) throws {
    var sampling = SamplingOptions()
    sampling.temperature = 0.7
    sampling.repetitionPenalty = 1.05
    let prompts = Array(golden.prompts.prefix(12))
    let plain = try generate(heads: nil, prompts, width: 5, sampling)
    let drafted = try generate(heads: heads, prompts, width: 5, sampling)
    #expect(drafted.outcome == plain.outcome)
    #expect(drafted.accepted > 0)
  }

  @Test(arguments: ["eagle.gguf", "medusa.gguf"])
  func withoutRoomForHiddenStatesNothingIsGuessed(heads: String) throws {
    let prompts = Array(golden.prompts.prefix(8))
    let plain = try generate(heads: nil, prompts, width: 1, SamplingOptions())
    let drafted = try generate(
      heads: heads, prompts, width: 1, SamplingOptions(), stateBytes: 1000)
    #expect(drafted.outcome == plain.outcome)
    #expect(drafted.accepted == 0)
  }

  @Test(arguments: ["eagle", "medusa"])
  func runsBySession(kind: String) async throws {
    var request = RunRequest(
      prompt: golden.prompts[0], strategy: BuiltInStrategy.sample.rawValue)
    let plain = try await session.scaling.run(request)
    request.drafting = try session.opened(
      .parse("\(kind)=\(HeadsGolden.path(kind + ".gguf"))"))
    #expect(request.drafting.drafter?.readsHiddenStates == true)
    let drafted = try await session.scaling.run(request)
    #expect(drafted.text == plain.text)
  }

  @Test func headsForAnotherEngineAreRefused() throws {
    var drafting = Drafting([])
    drafting.drafter = try drafter(
      "medusa.gguf", TransformerBackend(model: session.model, team: session.team))
    #expect(throws: EngineError.self) {
      _ = try session.engine.makeRun(prompt: [1], drafting: drafting)
    }
  }
}
