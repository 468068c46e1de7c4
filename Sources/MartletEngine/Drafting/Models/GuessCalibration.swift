/// How often a drafter's guesses come true: by their rank among the guesses at one place and the
/// probability the drafter gave them.
///
/// Learned from every guess whose place was reached, verified or not, so it follows the text. Old
/// evidence fades by halving.
struct GuessCalibration: Sendable {
  private struct Rate {
    var hits: Float
    var trials: Float
  }

  private static let ranks = 4
  /// Upper ends of the kinds of probabilities.
  private static let cuts: [Float] = [0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99]
  private static let memory: Float = 256

  /// At first a drafter is taken at its word, less a fifth.
  private var rates: [Rate] = (0..<ranks).flatMap { _ in
    zip([0] + cuts, cuts + [1]).map { Rate(hits: 0.4 * ($0 + $1) * 4, trials: 4) }
  }

  private static func kind(rank: Int, _ probability: Float) -> Int {
    let place = cuts.firstIndex { probability < $0 } ?? cuts.count
    return min(rank, ranks - 1) * (cuts.count + 1) + place
  }

  func probability(rank: Int, _ probability: Float) -> Float {
    let rate = rates[Self.kind(rank: rank, probability)]
    return rate.hits / rate.trials
  }

  mutating func learn(rank: Int, _ probability: Float, came isTrue: Bool) {
    let kind = Self.kind(rank: rank, probability)
    rates[kind].hits += isTrue ? 1 : 0
    rates[kind].trials += 1
    if rates[kind].trials >= 2 * Self.memory {
      rates[kind].hits *= 0.5
      rates[kind].trials *= 0.5
    }
  }
}
