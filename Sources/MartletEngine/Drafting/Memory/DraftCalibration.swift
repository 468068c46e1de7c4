import MartletModel

/// How often guesses of a kind came true: by the length of the context that was recognised, the
/// share of that context's continuations that the guess has, and how often the context was seen.
///
/// Every token drawn is held against what the index would have guessed, drafted or not, so the rates
/// follow the text even while nothing is drafted, and may start from nearly nothing. Old evidence
/// fades by halving. One per engine and source: what one run learned serves the next. Used with the
/// engine's lock held.
final class DraftCalibration {
  struct Rate: Equatable {
    var hits: Float
    var trials: Float
  }

  /// How many kinds there are.
  static let count = TokenTail.lengths * 12
  /// Trials after which evidence has half its weight.
  private static let memory: Float = 128
  private static let priorTrials: Float = 4
  private static let prior: Float = 0.1

  private var rates: [Rate]
  /// By the rate of the kind that was chosen: how often guesses with it came true. Of several contexts
  /// the one that promises most is believed, and the best of several estimates is mostly too high.
  private var chosen = (0..<chosenCount).map {
    Rate(hits: (Float($0) + 0.5) / Float(chosenCount) * priorTrials, trials: priorTrials)
  }
  private static let chosenCount = 16

  init() {
    rates = [Rate](
      repeating: Rate(hits: Self.prior * Self.priorTrials, trials: Self.priorTrials),
      count: Self.count)
  }

  /// With rates learned before, ``count`` of them.
  init(_ rates: [Rate]) {
    precondition(rates.count == Self.count, "\(rates.count) rates")
    self.rates = rates
  }

  /// A copy that learns for itself.
  func copy() -> DraftCalibration {
    let copy = DraftCalibration(rates)
    copy.chosen = chosen
    return copy
  }

  @inline(__always)
  private static func place(_ promised: Float) -> Int {
    min(chosenCount - 1, Int(promised * Float(chosenCount)))
  }

  /// The probability that a guess is drawn whose context was chosen for its rate, which is `promised`
  /// for this guess.
  @inline(__always)
  func corrected(_ promised: Float) -> Float {
    let rate = chosen[Self.place(promised)]
    return rate.hits / rate.trials
  }

  /// Takes in whether a guess of the chosen context came true.
  @inline(__always)
  func learnChosen(_ promised: Float, came isTrue: Bool) {
    let place = Self.place(promised)
    var rate = chosen[place]
    rate.hits += isTrue ? 1 : 0
    rate.trials += 1
    if rate.trials >= 2 * Self.memory {
      rate.hits *= 0.5
      rate.trials *= 0.5
    }
    chosen[place] = rate
  }

  /// What was learned.
  var values: [Rate] { rates }

  /// Shares are cut at 0.3, 0.6 and 0.9, totals at 2 and 5.
  @inline(__always)
  private static func kind(length: Int, count: Int, total: Int) -> Int {
    let share =
      (10 * count >= 3 * total ? 1 : 0) + (10 * count >= 6 * total ? 1 : 0)
      + (10 * count >= 9 * total ? 1 : 0)
    return length * 12 + share * 3 + (total < 2 ? 0 : total < 5 ? 1 : 2)
  }

  /// The probability that a follower with `count` of `total` is drawn.
  @inline(__always)
  func probability(length: Int, count: Int, total: Int) -> Float {
    let rate = rates[Self.kind(length: length, count: count, total: total)]
    return rate.hits / rate.trials
  }

  /// Takes in that after a context with `entry` the token drawn was `token`.
  @inline(__always)
  func learn(length: Int, _ entry: ContinuationIndex.Entry, drawn token: Token) {
    let total = entry.total
    for i in 0..<4 where entry.counts[i] > 0 {
      let kind = Self.kind(length: length, count: Int(entry.counts[i]), total: total)
      var rate = rates[kind]
      rate.hits += entry.tokens[i] == token ? 1 : 0
      rate.trials += 1
      if rate.trials >= 2 * Self.memory {
        rate.hits *= 0.5
        rate.trials *= 0.5
      }
      rates[kind] = rate
    }
  }
}

/// How often guesses came true for one branch, relative to what its run's sources promised: one
/// branch may copy what another works out. Fades within a few dozen tokens.
struct DraftTrust {
  private static let fading: Float = 0.95
  private static let prior: Float = 2

  private var promised: Float = 0
  private var came: Float = 0

  /// What to multiply probabilities by.
  var factor: Double { Double((came + Self.prior) / (promised + Self.prior)) }

  /// Takes in that the best guess, of that probability, came true or not.
  mutating func learn(_ probability: Float, came isTrue: Bool) {
    promised = promised * Self.fading + probability
    came = came * Self.fading + (isTrue ? 1 : 0)
  }
}
