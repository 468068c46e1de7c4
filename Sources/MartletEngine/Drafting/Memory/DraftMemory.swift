import MartletModel

/// Guesses at one next token, at most four.
struct DraftGuesses {
  /// -1 where there is none.
  var tokens = SIMD4<Int32>(repeating: -1)
  var probabilities = SIMD4<Float>()
  /// The highest of the probabilities, and its token.
  private(set) var most: Float = 0
  private(set) var first: Token = -1

  @inline(__always)
  mutating func set(_ index: Int, _ token: Token, _ probability: Float) {
    tokens[index] = token
    probabilities[index] = probability
    if probability > most { (most, first) = (probability, token) }
  }

  /// The likeliest guess alone.
  var single: DraftGuesses {
    var one = DraftGuesses()
    if first >= 0 { one.set(0, first, most) }
    return one
  }
}

/// A text that drafts are copied from, with how far its guesses can be trusted.
struct DraftMemory {
  var index: ContinuationIndex
  let calibration: DraftCalibration

  /// An empty text of at most some `limit` / 6 tokens, twice.
  init(_ calibration: DraftCalibration, limit: Int = 1 << 17) {
    self.calibration = calibration
    index = ContinuationIndex(limit: limit)
  }

  private init(_ index: ContinuationIndex, _ calibration: DraftCalibration) {
    self.index = index
    self.calibration = calibration
  }

  /// A copy with rates of its own.
  func detached() -> DraftMemory { DraftMemory(index, calibration.copy()) }

  /// Takes in text that nobody drew: a prompt, or what was appended. The first `known` of `tokens` only
  /// serve as context.
  mutating func read(_ tokens: [Token], from known: Int = 0) {
    var tail = TokenTail(tokens, count: known)
    for token in tokens[known...] {
      index.observe(tail.contexts, token) { _, _ in }
      tail.push(token)
    }
  }

  /// Takes in a token drawn after `contexts`. Returns the guess it would have made.
  mutating func observe(
    _ contexts: SIMD8<UInt64>, drawn token: Token
  ) -> (token: Token, probability: Float)? {
    var best: (entry: ContinuationIndex.Entry, length: Int, probability: Float)?
    index.observe(contexts, token) { length, entry in
      let probability = calibration.probability(
        length: length, count: Int(entry.counts.max()), total: entry.total)
      if probability >= best?.probability ?? 0 { best = (entry, length, probability) }
      calibration.learn(length: length, entry, drawn: token)
    }
    guard let (entry, length, probability) = best else { return nil }
    let first = (0..<4).first { entry.counts[$0] == entry.counts.max() } ?? 0
    let corrected = calibration.corrected(probability)
    for i in 0..<4 where entry.counts[i] > 0 {
      let promised = calibration.probability(
        length: length, count: Int(entry.counts[i]), total: entry.total)
      calibration.learnChosen(promised, came: entry.tokens[i] == token)
    }
    return (entry.tokens[first], corrected)
  }

  /// The guesses after `contexts` by the one of them that is trusted most; none where none is known.
  func guesses(after contexts: SIMD8<UInt64>) -> DraftGuesses {
    var best: (entry: ContinuationIndex.Entry, length: Int, probability: Float)?
    for length in 0..<TokenTail.lengths where contexts[length] != 0 {
      guard let entry = index.entry(contexts[length]) else { break }
      let probability = calibration.probability(
        length: length, count: Int(entry.counts.max()), total: entry.total)
      // Of equals the longer context, which comes later.
      if probability >= best?.probability ?? 0 { best = (entry, length, probability) }
    }
    var guesses = DraftGuesses()
    guard let (entry, length, _) = best else { return guesses }
    for i in 0..<4 where entry.counts[i] > 0 {
      guesses.set(
        i, entry.tokens[i],
        calibration.corrected(
          calibration.probability(
            length: length, count: Int(entry.counts[i]), total: entry.total)))
    }
    return guesses
  }
}
