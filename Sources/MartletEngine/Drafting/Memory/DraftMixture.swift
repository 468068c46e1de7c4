import MartletModel

/// What the contexts of a place say together about its next token.
///
/// Each context that is known has an opinion of each token that any of them was followed by: the
/// logarithm of the odds at which such followers came true, or tokens it did not know. Their weighted
/// sum is the mixture's, with weights that are learned. Source: "Adaptive Weighing of Context Models for
/// Lossless Data Compression" (logistic mixing). O(1): at most eight tokens of eight contexts.
struct DraftMixture {
  private static let mostTokens = 8

  private(set) var tokens = SIMD8<Int32>(repeating: -1)
  private(set) var probabilities = SIMD8<Float>()
  private(set) var count = 0
  private var opinions = InlineArray<8, SIMD8<Float>>(repeating: .init())
  /// By context: the kinds of its followers and of tokens that it does not know.
  private var kinds = InlineArray<8, (followers: SIMD4<Int32>, other: Int32)>(
    repeating: (.init(), -1))
  private var suffixes = 0

  init(
    _ known: InlineArray<8, ContinuationIndex.Entry>, number: UInt16?,
    _ calibration: DraftCalibration
  ) {
    var strange = SIMD8<Float>()
    for context in 0..<TokenTail.contextCount {
      let entry = known[context]
      guard entry.counts[0] > 0 || entry.total > 0 else { continue }
      if context < TokenTail.suffixes { suffixes = context + 1 }
      kinds[context] = DraftCalibration.kinds(context: context, entry, number: number)
      strange[context] = calibration.odds(kinds[context].other)
    }
    // Longer suffixes come first, if there are more tokens than are looked at.
    for step in 0..<TokenTail.contextCount {
      let context = step < TokenTail.suffixes ? TokenTail.suffixes - 1 - step : step
      let followers = kinds[context].followers
      guard kinds[context].other >= 0 else { continue }
      let entry = known[context]
      for i in 0..<4 where entry.counts[i] > 0 {
        var place = 0
        while place < count, tokens[place] != entry.tokens[i] { place += 1 }
        if place == count {
          guard count < Self.mostTokens else { continue }
          tokens[count] = entry.tokens[i]
          opinions[count] = strange
          count += 1
        }
        opinions[place][context] = calibration.odds(followers[i])
      }
    }
    for place in 0..<count {
      probabilities[place] = calibration.probability(opinions[place], suffixes: suffixes)
    }
  }

  /// Takes in that `token` was drawn.
  func learn(
    _ known: InlineArray<8, ContinuationIndex.Entry>, drawn token: Token,
    _ calibration: DraftCalibration
  ) {
    for place in 0..<count {
      calibration.learn(
        opinions[place], suffixes: suffixes, promised: probabilities[place],
        came: tokens[place] == token)
    }
    for context in 0..<TokenTail.contextCount {
      let own = kinds[context]
      guard own.other >= 0 else { continue }
      let entry = known[context]
      var isKnown = false
      var followers = 0
      for i in 0..<4 where entry.counts[i] > 0 {
        let came = entry.tokens[i] == token
        calibration.learn(own.followers[i], came: came)
        isKnown = isKnown || came
        followers += 1
      }
      // Of the tokens that others know and it does not.
      if count > followers {
        calibration.learn(
          own.other, of: count - followers, came: !isKnown && contains(token))
      }
    }
  }

  private func contains(_ token: Token) -> Bool {
    for place in 0..<count where tokens[place] == token { return true }
    return false
  }
}
