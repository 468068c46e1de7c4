import MartletModel

/// The last few tokens of a sequence: the contexts by which continuations are looked up.
struct TokenTail {
  /// Newest first; -1 before the sequence's start.
  private var recent = SIMD8<Int32>(repeating: -1)

  /// How many context lengths are looked up: 1, 2, 3, 4, 6 and 8 tokens.
  static let lengths = 6

  init() {}

  init(_ tokens: [Token]) { self.init(tokens, count: tokens.count) }

  /// Of the first `count` of `tokens`.
  init(_ tokens: [Token], count: Int) {
    tokens.withUnsafeBufferPointer { tokens in
      for i in 0..<min(8, count) { recent[i] = tokens[count - 1 - i] }
    }
  }

  @inline(__always)
  mutating func push(_ token: Token) {
    recent = SIMD8(
      token, recent[0], recent[1], recent[2], recent[3], recent[4], recent[5], recent[6])
  }

  func pushing(_ token: Token) -> TokenTail {
    var tail = self
    tail.push(token)
    return tail
  }

  /// A hash for each of `lengths` that the sequence is long enough for, then 0.
  var contexts: SIMD8<UInt64> {
    var contexts = SIMD8<UInt64>()
    var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
    var index = 0
    for i in 0..<8 {
      guard recent[i] >= 0 else { break }
      hash = TokenTail.mix(hash ^ UInt64(UInt32(bitPattern: recent[i])))
      // Five and seven tokens are but steps on the way.
      if i != 4 && i != 6 {
        contexts[index] = hash | 1
        index += 1
      }
    }
    return contexts
  }

  /// Multiplication and a shift spread every bit of a token id over the upper half.
  @inline(__always)
  private static func mix(_ value: UInt64) -> UInt64 {
    let product = value &* 0xD6E8_FEB8_6659_FD93
    return (product ^ (product >> 32)) &* 0xD6E8_FEB8_6659_FD93
  }
}
