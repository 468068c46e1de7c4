import MartletModel

/// The last few tokens of a sequence: the context by which continuations are looked up.
struct TokenTail {
  /// Newest first; -1 before the sequence's start.
  private var recent = SIMD8<Int32>(repeating: -1)

  /// The context lengths that are looked up, ascending.
  static let lengths: [Int] = [1, 2, 3, 4, 6, 8]

  init(_ tokens: some BidirectionalCollection<Token>) {
    for token in tokens.suffix(recent.scalarCount) { push(token) }
  }

  mutating func push(_ token: Token) {
    recent = SIMD8(
      token, recent[0], recent[1], recent[2], recent[3], recent[4], recent[5], recent[6])
  }

  func pushing(_ token: Token) -> TokenTail {
    var tail = self
    tail.push(token)
    return tail
  }

  /// Calls `body` with the index and hash of each of `lengths` that the sequence is long enough for.
  @inline(__always)
  func forEachContext(_ body: (_ index: Int, _ hash: UInt64) -> Void) {
    var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
    var index = 0
    for i in 0..<8 {
      guard recent[i] >= 0 else { return }
      hash = TokenTail.mix(hash ^ UInt64(UInt32(bitPattern: recent[i])))
      if i + 1 == TokenTail.lengths[index] {
        // 0 marks an empty entry.
        body(index, hash | 1)
        index += 1
      }
    }
  }

  /// Multiplication and a shift spread every bit of a token id over the upper half.
  private static func mix(_ value: UInt64) -> UInt64 {
    let product = value &* 0xD6E8_FEB8_6659_FD93
    return (product ^ (product >> 32)) &* 0xD6E8_FEB8_6659_FD93
  }
}
