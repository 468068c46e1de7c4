import MartletModel

/// The last few tokens of a sequence and where it stands: the contexts by which continuations are
/// looked up.
struct TokenTail {
  /// Newest first; -1 before the sequence's start.
  private var recent = SIMD8<Int32>(repeating: -1)
  /// Tokens of the sequence.
  private(set) var count = 0
  /// Of them the prompt's.
  private let promptCount: Int

  /// How many contexts a place has.
  static let contextCount = 8
  /// The first of them are the last 1, 2, 3, 4 and 8 tokens: where one was never seen, longer ones were
  /// not either.
  static let suffixes = 5

  init() { promptCount = 0 }

  init(_ tokens: [Token], promptCount: Int) {
    self.init(tokens, count: tokens.count, promptCount: promptCount)
  }

  /// Of the first `count` of `tokens`.
  init(_ tokens: [Token], count: Int, promptCount: Int) {
    self.count = count
    self.promptCount = promptCount
    tokens.withUnsafeBufferPointer { tokens in
      for i in 0..<min(8, count) { recent[i] = tokens[count - 1 - i] }
    }
  }

  @inline(__always)
  mutating func push(_ token: Token) {
    recent = SIMD8(
      token, recent[0], recent[1], recent[2], recent[3], recent[4], recent[5], recent[6])
    count += 1
  }

  func pushing(_ token: Token) -> TokenTail {
    var tail = self
    tail.push(token)
    return tail
  }

  /// A hash for each context, 0 for one that the sequence is too short for: the suffixes; the last token
  /// and how many came since the prompt, since branches of one prompt often say the same kind of thing
  /// at the same place; and the two and the three tokens before the last, whatever that was.
  var contexts: SIMD8<UInt64> {
    var contexts = SIMD8<UInt64>()
    var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
    for i in 0..<8 {
      guard recent[i] >= 0 else { break }
      hash = Self.mix(hash ^ UInt64(UInt32(bitPattern: recent[i])))
      if i < 4 {
        contexts[i] = hash | 1
      } else if i == 7 {
        contexts[4] = hash | 1
      }
    }
    if recent[0] >= 0, count > promptCount {
      let place = UInt64(count - promptCount) << 32 | UInt64(UInt32(bitPattern: recent[0]))
      contexts[5] = Self.mix(place ^ 0xA076_1D64_78BD_642F) | 1
    }
    guard recent[2] >= 0 else { return contexts }
    let two = UInt64(UInt32(bitPattern: recent[1])) << 32 | UInt64(UInt32(bitPattern: recent[2]))
    contexts[6] = Self.mix(two ^ 0xE703_7ED1_A0B4_28DB) | 1
    guard recent[3] >= 0 else { return contexts }
    contexts[7] = Self.mix(contexts[6] ^ UInt64(UInt32(bitPattern: recent[3]))) | 1
    return contexts
  }

  /// Multiplication and a shift spread every bit of a token id over the upper half.
  @inline(__always)
  private static func mix(_ value: UInt64) -> UInt64 {
    let product = value &* 0xD6E8_FEB8_6659_FD93
    return (product ^ (product >> 32)) &* 0xD6E8_FEB8_6659_FD93
  }
}
