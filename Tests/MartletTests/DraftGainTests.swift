import Martlet
import MartletSimulation
import Testing

/// What drafting gains where passes take what a curve says, on texts of the embedded model: no clock
/// takes part, so the same guesses are made and the same time is gained everywhere.
@Suite("What drafting gains by a cost curve", .serialized)
struct DraftGainTests {
  /// The embedded model, and its shape of 1.1 billion parameters in Q4_0, on two cores of a Zen 5 EPYC:
  /// what passes of so many rows took. Their knees are 8 and 14.
  private static let small = curve([(1, 120), (2, 133), (4, 157), (8, 223), (16, 381), (32, 730)])
  private static let large = curve(
    [(1, 100), (4, 102), (6, 112), (8, 129), (12, 174), (16, 223), (24, 291), (32, 392)])

  private static func curve(_ points: [(width: Int, microseconds: Double)]) -> CostCurve {
    CostCurve(
      points: points.map { .init(width: $0.width, seconds: $0.microseconds * 1e-6) },
      origin: .stated)!
  }

  private let session: Session
  private let prompts: [[Token]]

  init() throws {
    session = try Session()
    prompts = try HeadsGolden.read().prompts.prefix(30).map { [session] in
      session.tokenizer.encode($0, addSpecial: true, parseSpecial: false)
    }
  }

  private struct Outcome {
    var seconds = 0.0
    var texts: [[Token]] = []
    var drafted = 0
  }

  /// Sixteen branches of every problem, `live` at a time.
  private func play(_ drafting: Drafting, live: Int, _ curve: CostCurve) throws -> Outcome {
    let backend = PricedBackend(
      try TransformerBackend(model: session.model, team: session.team), curve: curve)
    let engine = try Engine(backend: backend)
    defer { engine.shutdown() }
    var outcome = Outcome()
    for (index, prompt) in prompts.enumerated() {
      let run = try engine.makeRun(
        prompt: prompt, seed: UInt64(index), sampling: Session.defaultSampling, drafting: drafting)
      for first in stride(from: 0, to: 16, by: live) {
        let branches = try run.root.fork(min(live, 16 - first))
        try run.advanceBlocking(branches, Advance(maxTokens: 256))
        outcome.texts += branches.map(\.tokens)
        for branch in branches { branch.release() }
      }
      outcome.drafted += run.statistics.draftedTokens
    }
    outcome.seconds = backend.virtualSeconds
    return outcome
  }

  @Test("siblings gain a fifth up to half the knee", arguments: [(1, 2.2), (4, 1.2), (7, 1.18)])
  func large(live: Int, least: Double) throws {
    let plain = try play(.off, live: live, Self.large)
    let drafted = try play(Drafting([.siblings]), live: live, Self.large)
    #expect(drafted.texts == plain.texts)
    #expect(plain.seconds >= least * drafted.seconds, "\(plain.seconds / drafted.seconds)")
  }

  @Test("on a model whose knee is 8 too", arguments: [(1, 1.75), (3, 1.2), (4, 1.08)])
  func small(live: Int, least: Double) throws {
    let plain = try play(.off, live: live, Self.small)
    let drafted = try play(Drafting([.siblings]), live: live, Self.small)
    #expect(drafted.texts == plain.texts)
    #expect(plain.seconds >= least * drafted.seconds, "\(plain.seconds / drafted.seconds)")
  }

  @Test("beyond the knee next to nothing is guessed, and nothing is lost")
  func wide() throws {
    for curve in [Self.small, Self.large] {
      let plain = try play(.off, live: 16, curve)
      let drafted = try play(.auto, live: 16, curve)
      #expect(drafted.texts == plain.texts)
      #expect(plain.seconds >= 0.97 * drafted.seconds, "\(plain.seconds / drafted.seconds)")
      let tokens = plain.texts.reduce(0) { $0 + $1.count }
      #expect(drafted.drafted * 20 < tokens, "\(drafted.drafted) guesses for \(tokens) tokens")
    }
  }
}
