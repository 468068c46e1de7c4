import MartletModel

/// Guesses at one next token, at most four.
struct DraftGuesses {
  /// -1 where there is none.
  var tokens = SIMD4<Int32>(repeating: -1)
  var probabilities = SIMD4<Float>()
  /// The highest of the probabilities, and its token.
  private(set) var most: Float = 0
  private(set) var first: Token = -1

  /// Takes a guess in if it is likelier than one of those there are.
  @inline(__always)
  mutating func add(_ token: Token, _ probability: Float) {
    var least = 0
    for i in 1..<4 where probabilities[i] < probabilities[least] { least = i }
    guard probability > probabilities[least] else { return }
    tokens[least] = token
    probabilities[least] = probability
    if probability > most { (most, first) = (probability, token) }
  }

  /// The likeliest guess alone.
  var single: DraftGuesses {
    var one = DraftGuesses()
    if first >= 0 { one.add(first, most) }
    return one
  }
}

/// A text that drafts are copied from, with how far its guesses can be trusted.
struct DraftMemory {
  var index: ContinuationIndex
  let calibration: DraftCalibration

  /// An empty text of at most some `limit` / 8 tokens, twice.
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
  mutating func read(_ tokens: [Token], from known: Int = 0, promptCount: Int) {
    var tail = TokenTail(tokens, count: known, promptCount: promptCount)
    for token in tokens[known...] {
      index.observe(tail.contexts, token, number: nil)
      tail.push(token)
    }
  }

  /// Takes in a token drawn after `contexts` with the random number `number`, and learns from it how
  /// far guesses can be trusted.
  mutating func observe(_ contexts: SIMD8<UInt64>, drawn token: Token, number: UInt16?) {
    if calibration.isToLearn() {
      let known = index.entries(contexts)
      DraftMixture(known, number: number, calibration).learn(known, drawn: token, calibration)
    }
    index.observe(contexts, token, number: number)
  }

  /// The guesses after `contexts`, at a token that will be drawn with the random number `number`.
  func guesses(after contexts: SIMD8<UInt64>, number: UInt16?) -> DraftGuesses {
    let mixture = DraftMixture(index.entries(contexts), number: number, calibration)
    var guesses = DraftGuesses()
    for place in 0..<mixture.count {
      guesses.add(mixture.tokens[place], calibration.corrected(mixture.probabilities[place]))
    }
    return guesses
  }
}
