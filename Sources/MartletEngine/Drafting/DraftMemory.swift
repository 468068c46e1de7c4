import MartletModel

/// A text that drafts are copied from, with how far its guesses can be trusted.
struct DraftMemory {
  private var index: ContinuationIndex
  private let calibration: DraftCalibration

  /// A guess at the next token.
  struct Guess {
    var token: Token
    var probability: Float
  }

  /// An empty text of at most some six `limit` tokens.
  init(_ calibration: DraftCalibration, limit: Int = 1 << 17) {
    self.calibration = calibration
    index = ContinuationIndex(limit: limit)
  }

  /// Takes in text that nobody drew: a prompt, or what was appended.
  mutating func read(_ tokens: [Token], from known: Int = 0) { index.observe(tokens, from: known) }

  /// Takes in a token drawn after `tail`.
  mutating func observe(_ tail: TokenTail, drawn token: Token) {
    tail.forEachContext { length, hash in
      if let entry = index.entry(hash) { calibration.learn(length: length, entry, drawn: token) }
    }
    index.observe(tail, token)
  }

  /// The guesses after `tail` by the context that is trusted most; none where nothing is known.
  func guesses(after tail: TokenTail) -> [Guess] {
    var best: (entry: ContinuationIndex.Entry, length: Int, probability: Float)?
    tail.forEachContext { length, hash in
      guard let entry = index.entry(hash) else { return }
      let most = Int(entry.counts.max())
      let probability = calibration.probability(length: length, count: most, total: entry.total)
      // Of equals the longer context, which comes later.
      if probability >= best?.probability ?? 0 { best = (entry, length, probability) }
    }
    guard let best else { return [] }
    let total = best.entry.total
    return (0..<4).compactMap { i in
      let count = Int(best.entry.counts[i])
      guard count > 0 else { return nil }
      return Guess(
        token: best.entry.tokens[i],
        probability: calibration.probability(length: best.length, count: count, total: total))
    }
  }
}
