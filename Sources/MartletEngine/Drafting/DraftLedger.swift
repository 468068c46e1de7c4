/// What a decoding pass gave and took because something was guessed.
package struct DraftOutcome: Sendable {
  /// Branches that decoded in it.
  package var branches: Int
  /// Seconds that the pass would have taken without guesses, and those it took.
  package var plain: Double
  package var seconds: Double
  /// Seconds spent beside it on guessing: planning, remembering text, a drafter's computing.
  package var beside: Double
  /// What the tokens are worth that were drawn without a row of their own; 1 for a token of a branch
  /// that the others do not wait for.
  package var gained: Double

  package init(
    branches: Int, plain: Double, seconds: Double, beside: Double, gained: Double
  ) {
    self.branches = branches
    self.plain = plain
    self.seconds = seconds
    self.beside = beside
    self.gained = gained
  }

  /// The same pass, had nothing been guessed.
  static func plain(_ outcome: DraftOutcome) -> DraftOutcome {
    DraftOutcome(
      branches: outcome.branches, plain: outcome.plain, seconds: outcome.plain, beside: 0, gained: 0
    )
  }

  /// Seconds saved, below 0 where guessing cost more than it gave. A token gained saves what one takes
  /// without guesses; a pass that lasts several times as long as it should was held up by others.
  package var saved: Double {
    gained * plain / Double(max(1, branches)) - (min(seconds, 4 * plain) - plain) - beside
  }
}

/// Whether guessing may go on, by what it really saved: a bound on what it may lose, and pauses where
/// it does not pay.
///
/// Losses are paid from an account, and while that is overdrawn nothing is guessed. Every pass pays a
/// hundredth of its time in, what guessing saves goes in and what it loses is taken out. So whatever
/// the estimates say by which guesses are chosen, all guessing has lost at most a hundredth of the
/// time that passed, the opening credit, and what its last pass overdrew. A balance in hand is capped,
/// so that savings of long ago do not license losses now.
///
/// Beside that each number of branches (by powers of two) has a record of late passes. Where they lost,
/// guessing pauses and is tried again for a few passes, after pauses that double. Source of the account:
/// the regret bound of "conservative bandits" (explore only as far as the baseline's reward allows).
/// O(1) per pass.
package struct DraftLedger: Sendable {
  /// The share of time that guessing may lose.
  package static let share = 0.01
  /// The most passes' time that is kept in hand.
  package static let mostPasses = 16.0
  /// The longest pause, in passes.
  package static let longestPause = 512
  /// The first one.
  private static let shortestPause = 16
  private static let fading = 0.99
  /// Passes in a row without a loss after which a new pause begins short again.
  private static let proven = 64

  /// How guessing does at one number of branches.
  private struct Record: Sendable {
    var saved = 0.0
    var plain = 0.0
    var passes = 0
    var pause = shortestPause
    var wait = 0

    /// Seconds saved per second without guesses.
    var rate: Double { plain > 0 ? saved / plain : 0 }
  }

  /// Seconds that may be lost now; nil before the first pass.
  package private(set) var balance: Double?
  private let opening: Double
  private let look: Int
  private var records: [Int: Record] = [:]

  /// - Parameters:
  ///   - opening: the opening credit, in passes of the first pass's length.
  ///   - look: passes on which a first opinion, or one after a pause, is formed.
  package init(opening: Double, look: Int) {
    self.opening = opening
    self.look = look
  }

  private static func kind(_ branches: Int) -> Int {
    Int.bitWidth - max(0, branches).leadingZeroBitCount
  }

  /// Whether the next pass of so many branches may guess.
  package func allows(branches: Int) -> Bool {
    (balance ?? 0) >= 0 && records[Self.kind(branches)]?.wait ?? 0 == 0
  }

  /// Seconds saved per second without guesses in late passes of so many branches.
  package func rate(branches: Int) -> Double { records[Self.kind(branches)]?.rate ?? 0 }

  /// Takes in a decoding pass. `isTried`: whether guesses were looked for; `isTypical`: whether the next
  /// one will take about as much, which one that first has a prompt to read does not.
  package mutating func settle(
    _ outcome: DraftOutcome, isTried: Bool, isTypical: Bool = true
  ) {
    let plain = outcome.plain
    guard plain > 0, plain.isFinite else { return }
    let saved = outcome.saved
    balance = min(
      (balance ?? opening * plain) + Self.share * plain + saved, Self.mostPasses * plain)
    let kind = Self.kind(outcome.branches)
    var record = records[kind] ?? Record()
    defer { records[kind] = record }
    guard isTried else {
      record.wait = max(0, record.wait - 1)
      return
    }
    guard isTypical else { return }
    record.saved = record.saved * Self.fading + saved
    record.plain = record.plain * Self.fading + plain
    record.passes += 1
    if record.passes >= Self.proven, record.saved > 0 { record.pause = Self.shortestPause }
    guard record.passes >= look, record.saved < 0 else { return }
    // What was true before the pause tells little about what is after it.
    (record.wait, record.pause) = (record.pause, min(2 * record.pause, Self.longestPause))
    (record.saved, record.plain, record.passes) = (0, 0, 0)
  }
}
