/// Whether asking a drafter pays, found by doing both: tokens per second of passes before which it was
/// asked and of passes before which it was not, each a fading mean.
///
/// Whichever does better goes on; the other is tried again for a few passes at growing intervals, so
/// that a drafter that never pays costs next to nothing and text that becomes predictable is noticed.
/// One per drafter and number of branches (by powers of two), because a wide pass leaves little to gain.
struct DraftWager {
  private struct Rate {
    var tokens = 0.0
    var seconds = 0.0
    var passes = 0

    mutating func add(_ tokens: Int, _ seconds: Double) {
      self.tokens = self.tokens * 0.95 + Double(tokens)
      self.seconds = self.seconds * 0.95 + seconds
      passes += 1
    }
    var perSecond: Double { seconds > 0 ? tokens / seconds : 0 }
  }

  /// Passes that make a first opinion, and of a later trial.
  private static let first = 4
  private static let trial = 3
  private static let shortestPause = 48
  private static let longestPause = 4096
  /// What drafting must gain to go on.
  private static let leastGain = 1.03

  private var drafted = Rate()
  private var plain = Rate()
  private var pause = shortestPause
  private var untilTrial = shortestPause
  private var trialPasses = 0

  /// Whether drafting did better so far.
  private var isWinning: Bool { drafted.perSecond > plain.perSecond * Self.leastGain }

  /// Whether the drafter is to be asked before the next pass.
  mutating func bets() -> Bool {
    if plain.passes < Self.first { return false }
    if drafted.passes < Self.first { return true }
    if trialPasses > 0 {
      trialPasses -= 1
      if trialPasses == 0 {
        // Whoever lost again is asked less often.
        pause = min(pause * 2, Self.longestPause)
        untilTrial = pause
      }
      return !isWinning
    }
    untilTrial -= 1
    if untilTrial <= 0 { trialPasses = Self.trial }
    return isWinning
  }

  /// Takes in a pass, its drafter's time included.
  mutating func learn(drafted isDrafted: Bool, tokens: Int, seconds: Double) {
    let was = isWinning
    if isDrafted { drafted.add(tokens, seconds) } else { plain.add(tokens, seconds) }
    if isWinning != was { pause = Self.shortestPause }
  }
}
