import Foundation
import MartletModel

/// How often guesses of a kind came true, and how far each context's opinion counts.
///
/// A follower's kind is its context, where the random number of the coming draw lies among those it was
/// drawn with, its share of the context's continuations, and how often the context was seen
/// (``kinds(context:_:number:)``). Every token drawn is held against what would have been guessed, drafted
/// or not, so the rates follow the text even while nothing is drafted, and may start from nearly
/// nothing. Old evidence fades by halving. One per engine and source: what one run learned serves the
/// next. Used with the engine's lock held.
final class DraftCalibration {
  struct Rate: Equatable {
    var hits: Float
    var trials: Float

    var isPossible: Bool { hits >= 0 && hits <= trials && trials > 0 && trials < 1e6 }

    fileprivate mutating func learn(_ isTrue: Bool, of count: Float = 1) {
      hits += isTrue ? 1 : 0
      trials += count
      // Trials after which evidence has half its weight: 128.
      if trials >= 256 {
        hits *= 0.5
        trials *= 0.5
      }
    }
  }

  /// Relations of random numbers, times 4 shares, times 3 totals; then what a context says of a token
  /// that it does not know.
  private static let followerKinds = 7 * 4 * 3
  private static let kindsPerContext = followerKinds + 6
  private static let rateCount = TokenTail.contextCount * kindsPerContext
  private static let chosenCount = 16
  private static let weightSets = TokenTail.suffixes + 1
  private static let priorTrials: Float = 4

  private var rates: [Rate]
  /// The logarithm of the odds of every rate.
  private var odds: [Float]
  /// What each context's opinion counts, by how many suffixes are known.
  private var weights = [SIMD8<Float>](repeating: .init(repeating: 0.35), count: weightSets)
  /// By what was promised: how often that came true. Opinions are no independent ones, so what they come
  /// to together may be too much or too little.
  private var chosen: [Rate]
  /// The logarithm of the odds by probability.
  private let oddsTable: [Float]

  private static let learningRate: Float = 0.02
  /// Far beyond what text teaches; a file may say so.
  private static let mostWeight: Float = 1e3
  private static let oddsSteps = 1024

  init() {
    let table = (0...Self.oddsSteps).map { step -> Float in
      let share = min(0.998, max(0.002, Float(step) / Float(Self.oddsSteps)))
      return log(share / (1 - share))
    }
    rates = (0..<Self.rateCount).map { index in
      let kind = index % Self.kindsPerContext
      // A number within those that a token was drawn with promises more than any other.
      let prior: Float = kind < 12 ? 0.4 : kind < Self.followerKinds ? 0.1 : 0.05
      return Rate(hits: prior * Self.priorTrials, trials: Self.priorTrials)
    }
    chosen = (0..<Self.chosenCount).map {
      let share = (Float($0) + 0.5) / Float(Self.chosenCount)
      return Rate(hits: share * Self.priorTrials, trials: Self.priorTrials)
    }
    oddsTable = table
    odds = rates.map { table[Int($0.hits / $0.trials * Float(Self.oddsSteps))] }
  }

  private init(copying other: DraftCalibration) {
    (rates, odds, weights) = (other.rates, other.odds, other.weights)
    (chosen, oddsTable, tokensSeen) = (other.chosen, other.oddsTable, other.tokensSeen)
  }

  // MARK: Kinds

  /// The kinds of a context's followers, and of tokens that it does not know. `number` is the random
  /// number that the coming token is drawn with, in 65,536ths, where it is drawn by one.
  ///
  /// Drawing goes along the cumulative distribution in order of token id, so the number that a token is
  /// drawn with says much about which it is: between two with which the same token was drawn it is that
  /// token again, if the distribution is the same; between those of two tokens it is likelier the nearer.
  @inline(__always)
  static func kinds(
    context: Int, _ entry: ContinuationIndex.Entry, number: UInt16?
  ) -> (followers: SIMD4<Int32>, other: Int32) {
    let total = entry.total
    let seen: Int32 = total < 2 ? 0 : total < 5 ? 1 : 2
    var relations = SIMD4<Int32>(repeating: Relation.unknown)
    var isInside = false
    if let number {
      // The nearest followers whose numbers lie below and above this one.
      var (below, above) = (-1, -1)
      for i in 0..<4 where entry.counts[i] > 0 && entry.least[i] <= entry.greatest[i] {
        relations[i] = Relation.apart
        if entry.greatest[i] < number {
          if below < 0 || entry.greatest[i] > entry.greatest[below] { below = i }
        } else if entry.least[i] > number {
          if above < 0 || entry.least[i] < entry.least[above] { above = i }
        } else {
          relations[i] = Relation.inside
          isInside = true
        }
      }
      if !isInside {
        let low = below < 0 ? 0 : Int32(entry.greatest[below])
        let high = above < 0 ? 65_536 : Int32(entry.least[above])
        let isNearLow = 2 * Int32(number) < low + high
        let isEdge = below < 0 || above < 0
        if below >= 0 { relations[below] = Relation.neighbour(isNear: isNearLow, isEdge: isEdge) }
        if above >= 0 { relations[above] = Relation.neighbour(isNear: !isNearLow, isEdge: isEdge) }
      }
    }
    let first = Int32(context * kindsPerContext)
    var kinds = SIMD4<Int32>()
    for i in 0..<4 {
      let count = 10 * Int(entry.counts[i])
      let share: Int32 =
        (count >= 3 * total ? 1 : 0) + (count >= 6 * total ? 1 : 0) + (count >= 9 * total ? 1 : 0)
      kinds[i] = first + relations[i] * 12 + share * 3 + seen
    }
    return (kinds, first + Int32(followerKinds) + seen * 2 + (isInside ? 1 : 0))
  }

  /// Where a random number lies among those of a follower.
  private enum Relation {
    static let inside: Int32 = 0
    static let apart: Int32 = 5
    static let unknown: Int32 = 6

    @inline(__always)
    static func neighbour(isNear: Bool, isEdge: Bool) -> Int32 {
      (isEdge ? 1 : 3) + (isNear ? 0 : 1)
    }
  }

  // MARK: Asking

  /// The logarithm of the odds that a guess of a kind comes true.
  @inline(__always)
  func odds(_ kind: Int32) -> Float { odds[Int(kind)] }

  /// The probability that contexts come to together, of `suffixes` known ones.
  @inline(__always)
  func probability(_ opinions: SIMD8<Float>, suffixes: Int) -> Float {
    1 / (1 + exp(-(opinions * weights[suffixes]).sum()))
  }

  /// How often what was promised so came true.
  @inline(__always)
  func corrected(_ promised: Float) -> Float {
    let rate = chosen[Self.place(promised)]
    return rate.hits / rate.trials
  }

  @inline(__always)
  private static func place(_ promised: Float) -> Int {
    min(chosenCount - 1, Int(promised * Float(chosenCount)))
  }

  // MARK: Learning

  /// Tokens that all are learned from, and of later ones the share: learning takes most of the time that
  /// remembering a token does.
  private static let apprenticeship = 2000
  private static let laterStride = 4
  private var tokensSeen = 0

  /// Whether the coming token is to be learned from. To be asked once per token.
  @inline(__always)
  func isToLearn() -> Bool {
    tokensSeen += 1
    return tokensSeen < Self.apprenticeship || tokensSeen % Self.laterStride == 0
  }

  /// Takes in whether one of `count` guesses of a kind came true.
  @inline(__always)
  func learn(_ kind: Int32, of count: Int = 1, came isTrue: Bool) {
    let kind = Int(kind)
    rates[kind].learn(isTrue, of: Float(count))
    odds[kind] = oddsTable[Int(rates[kind].hits / rates[kind].trials * Float(Self.oddsSteps))]
  }

  /// Takes in that a guess that contexts together promised so came true or not.
  @inline(__always)
  func learn(_ opinions: SIMD8<Float>, suffixes: Int, promised: Float, came isTrue: Bool) {
    chosen[Self.place(promised)].learn(isTrue)
    let error = (isTrue ? 1 : 0) - promised
    weights[suffixes] = (weights[suffixes] + Self.learningRate * error * opinions)
      .clamped(
        lowerBound: .init(repeating: -Self.mostWeight),
        upperBound: .init(repeating: Self.mostWeight))
  }

  // MARK: Keeping

  /// How many numbers say what was learned.
  static let numberCount = 2 * (rateCount + chosenCount) + 8 * weightSets

  /// What was learned.
  var numbers: [Float] {
    (rates + chosen).flatMap { [$0.hits, $0.trials] }
      + weights.flatMap { weights in weights.indices.map { weights[$0] } }
  }

  /// What was learned before; nil for numbers that nobody can have learned.
  convenience init?(numbers: [Float]) {
    guard numbers.count == Self.numberCount else { return nil }
    self.init()
    for index in 0..<Self.rateCount + Self.chosenCount {
      let rate = Rate(hits: numbers[2 * index], trials: numbers[2 * index + 1])
      guard rate.isPossible else { return nil }
      if index < Self.rateCount {
        rates[index] = rate
        odds[index] = oddsTable[Int(rate.hits / rate.trials * Float(Self.oddsSteps))]
      } else {
        chosen[index - Self.rateCount] = rate
      }
    }
    let first = 2 * (Self.rateCount + Self.chosenCount)
    for index in 0..<8 * Self.weightSets {
      let weight = numbers[first + index]
      guard abs(weight) <= Self.mostWeight else { return nil }
      weights[index / 8][index % 8] = weight
    }
  }

  /// A copy that learns for itself.
  func copy() -> DraftCalibration { DraftCalibration(copying: self) }
}
