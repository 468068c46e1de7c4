import MartletModel

/// The tokens that may come next: bit `token % 64` of word `token / 64` is set where a token is
/// allowed. One bit per logit, `(vocabularySize + 63) / 64` words.
public final class TokenMask: Sendable, Equatable {
  /// The bits.
  public let words: [UInt64]
  /// How many tokens are allowed.
  public let count: Int
  /// How many tokens there are.
  public let vocabularySize: Int

  /// A mask of words; bits beyond the vocabulary must be 0.
  public init(words: [UInt64], vocabularySize: Int) {
    precondition(words.count == (vocabularySize + 63) / 64, "a mask has one bit per token")
    self.words = words
    self.vocabularySize = vocabularySize
    count = words.reduce(0) { $0 + $1.nonzeroBitCount }
  }

  /// Whether a token is allowed. O(1).
  public func allows(_ token: Token) -> Bool {
    token >= 0 && Int(token) < vocabularySize
      && words[Int(token) / 64] >> UInt64(token % 64) & 1 == 1
  }

  /// The allowed tokens, ascending.
  public var tokens: [Token] {
    var result: [Token] = []
    result.reserveCapacity(count)
    for (i, word) in words.enumerated() {
      var rest = word
      while rest != 0 {
        result.append(Token(i * 64 + rest.trailingZeroBitCount))
        rest &= rest - 1
      }
    }
    return result
  }

  public static func == (a: TokenMask, b: TokenMask) -> Bool {
    a === b || (a.vocabularySize == b.vocabularySize && a.words == b.words)
  }

  /// The bits as the sampling kernel takes them: words of 32 tokens.
  var halves: [UInt32] {
    (0..<(vocabularySize + 31) / 32).map {
      UInt32(truncatingIfNeeded: words[$0 / 2] >> UInt64($0 % 2 * 32))
    }
  }
}
