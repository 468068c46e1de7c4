import Foundation
import MartletEngine
import MartletSimulation
import Synchronization
import Testing

/// The account that bounds what guessing may lose, on a clock of its own.
@Suite("What guessing may lose")
struct DraftLedgerTests {
  /// Plays `passes` passes. `gain` says what a pass that guesses saves of its plain time, below 0 for
  /// a loss; all other passes save nothing.
  private func play(
    _ ledger: inout DraftLedger, passes: Int, branches: (Int) -> Int = { _ in 4 },
    beside: Double = 0, gain: (Int) -> Double
  ) -> (plain: Double, saved: Double, tries: Int, worst: Double) {
    var total = (plain: 0.0, saved: 0.0, tries: 0, worst: 0.0)
    for pass in 0..<passes {
      let width = branches(pass)
      let plain = 0.001 * Double(width + 8)
      let isTried = ledger.allows(branches: width)
      let saved = isTried ? gain(pass) * plain : 0
      let outcome = DraftOutcome(
        branches: width, plain: plain, seconds: plain - saved, beside: beside, gained: 0)
      ledger.settle(outcome, isTried: isTried)
      total.plain += plain
      total.saved += saved - beside
      total.tries += isTried ? 1 : 0
      // The most by which time without guesses was ever exceeded beyond the share.
      total.worst = max(total.worst, -total.saved - DraftLedger.share * total.plain)
    }
    return total
  }

  @Test("no sequence of losses exceeds the share", arguments: 0..<50)
  func bound(seed: UInt64) {
    var random = SplitMix(seed)
    var ledger = DraftLedger(opening: 2, look: 1 + Int(seed % 24))
    // Whatever is gained is lost later, at worst three times a pass's time in one pass.
    let losses = (0..<4000).map { _ in Double(random.next() % 1000) / 1000 * 3 }
    let widths = (0..<4000).map { _ in 1 + Int(random.next() % 32) }
    let widest = 0.001 * 40
    let mostly = seed % 3 == 0
    let played = play(&ledger, passes: 4000, branches: { widths[$0] }) { pass in
      mostly && pass < 1000 ? 0.3 : -losses[pass]
    }
    // Opening credit, and the pass that overdraws; what was saved before is capped.
    #expect(played.worst <= (2 + 3 + 0.01) * widest, "\(played), seed \(seed)")
    #expect(played.tries > 0, "nothing tried: the test shows nothing")
  }

  @Test("after gains, no more than the cap is lost beyond the share")
  func cap() {
    var ledger = DraftLedger(opening: 2, look: 8)
    _ = play(&ledger, passes: 10_000) { _ in 0.5 }
    let later = play(&ledger, passes: 2000) { _ in -1 }
    let plain = 0.012
    #expect(later.saved < 0)
    #expect(
      -later.saved <= DraftLedger.share * later.plain + (DraftLedger.mostPasses + 1) * plain)
  }

  @Test("what pays goes on, what does not is hardly tried, what begins to pay is noticed")
  func pauses() {
    var ledger = DraftLedger(opening: 2, look: 8)
    #expect(play(&ledger, passes: 2000) { _ in 0.2 }.tries == 2000)
    let losing = play(&ledger, passes: 4000) { _ in -0.004 }
    #expect(losing.tries < 1000, "\(losing.tries) of 4000 passes")
    let again = play(&ledger, passes: 2000) { _ in 0.2 }
    #expect(again.tries > 1200, "\(again.tries) of 2000 passes")
  }

  @Test("numbers of branches pause apart, and share the account")
  func widths() {
    var ledger = DraftLedger(opening: 2, look: 4)
    _ = play(&ledger, passes: 400, branches: { $0 % 2 == 0 ? 1 : 16 }) { $0 % 2 == 0 ? 0.3 : -0.1 }
    #expect(ledger.rate(branches: 1) > 0.2)
    let narrow = play(&ledger, passes: 100, branches: { _ in 1 }) { _ in 0.3 }
    let wide = play(&ledger, passes: 100, branches: { _ in 16 }) { _ in -0.1 }
    #expect(narrow.tries == 100 && wide.tries < 20, "\(narrow.tries), \(wide.tries)")
  }

  @Test("work beside passes is paid for even while nothing is guessed")
  func beside() {
    var ledger = DraftLedger(opening: 2, look: 8)
    // Twice the share, all the time: no pass is left to guess with after the opening credit.
    let played = play(&ledger, passes: 4000, beside: 0.02 * 0.012) { _ in 0 }
    #expect(played.tries < 300 && (ledger.balance ?? 0) < 0, "\(played.tries)")
  }

  @Test("a drafter that costs much is asked so seldom that its time stays within the share")
  func drafter() throws {
    let fixture = try TransformerFixture(seed: 71, type: .f16)
    let backend = try fixture.backend()
    let engine = try Engine(backend: backend)
    defer { engine.shutdown() }
    let recorder = Recorder()
    let drafter = DearDrafter()
    let run = try engine.makeRun(
      prompt: fixture.tokens(4, seed: 1), drafting: Drafting([], drafter: drafter),
      recorder: recorder)
    try run.advanceBlocking([run.root], Advance(maxTokens: 400))
    // The first question costs more than hundreds of passes' share.
    #expect(engine.statistics.draftSeconds > 0)
    #expect(drafter.calls.withLock { $0 } <= 2)
    let decisions = recorder.events.compactMap { event -> Bool? in
      if case .draftingDecided(_, 1, "dear", let isOn, _) = event.kind { isOn } else { nil }
    }
    #expect(decisions.first == false, "the decision is in the trace")
  }
}

/// Takes as long as hundreds of passes and guesses nothing.
private final class DearDrafter: Drafter {
  let name = "dear"
  let calls = Mutex(0)
  func propose(
    _ sequences: [DraftSequence], economy: DraftEconomy
  ) throws(EngineError) -> DraftRound {
    calls.withLock { $0 += 1 }
    usleep(200_000)
    return DraftRound(proposals: sequences.map { _ in DraftProposal() })
  }
}
