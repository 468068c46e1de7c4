import Foundation
import Martlet

/// A vocabulary of any size with the mix of a byte-level BPE tokenizer: every byte, English-like
/// words with and without a space before them, numbers, signs of code and JSON, other scripts, and
/// pieces of characters. The same size gives the same tokens everywhere.
public struct SyntheticVocabulary: TokenCodec {
  private let pieces: [[UInt8]]

  public var vocabularySize: Int { pieces.count + 1 }
  public var bosToken: Token? { nil }
  public var endOfGenerationTokens: Set<Token> { [Token(pieces.count)] }

  /// `size` tokens, the last of which ends a text; at least 257.
  public init(size: Int) {
    precondition(size >= 257, "every byte and an end")
    var random = SplitMix(state: 7)
    var pieces = (0...UInt8.max).map { [$0] }
    var known = Set(pieces)
    while pieces.count < size - 1 {
      let piece = Self.piece(&random)
      if known.insert(piece).inserted { pieces.append(piece) }
    }
    self.pieces = pieces
  }

  public func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [Token] {
    text.utf8.map(Token.init)
  }

  public func bytes(of token: Token, renderSpecial: Bool) -> [UInt8] {
    token >= 0 && Int(token) < pieces.count ? pieces[Int(token)] : []
  }

  private static func piece(_ random: inout SplitMix) -> [UInt8] {
    func pick(_ list: [String]) -> String { list[Int(random.next() % UInt64(list.count))] }
    func some(_ list: [String], _ range: ClosedRange<UInt64>) -> String {
      let count = range.lowerBound + random.next() % UInt64(range.count)
      return (0..<count).map { _ in pick(list) }.joined()
    }
    switch random.next() % 100 {
    case 0..<58:
      let word = some(syllables, 1...4)
      let cased = random.next() % 5 == 0 ? word.capitalized : word
      return Array(((random.next() % 5 < 3 ? " " : "") + cased).utf8)
    case 58..<62: return Array(some(digits, 2...3).utf8)
    case 62..<71:
      return Array((some(signs, 1...4) + (random.next() % 3 == 0 ? pick(syllables) : "")).utf8)
    case 71..<99:
      let scripts: [(UInt64, UInt64)] = [
        (0x410, 64), (0x3B1, 25), (0x4E00, 6000), (0xAC00, 3000), (0x5D0, 27), (0x627, 36),
        (0x3041, 86), (0x1F600, 64), (0xE0, 32),
      ]
      let (first, span) = scripts[Int(random.next() % UInt64(scripts.count))]
      let text = (0...(random.next() % 4)).map { _ in
        String(Unicode.Scalar(UInt32(first + random.next() % span)) ?? " ")
      }.joined()
      return Array(text.utf8)
    default:
      let whole = Array(String(Unicode.Scalar(UInt32(0x4E00 + random.next() % 6000)) ?? " ").utf8)
      return random.next() % 2 == 0 ? Array(whole.dropLast()) : Array(whole.dropFirst())
    }
  }

  private static let syllables = [
    "a", "in", "the", "re", "con", "er", "ti", "on", "ing", "ment", "al", "st", "or", "es", "ed",
    "pro",
    "de", "com", "ter", "ly", "is", "be", "mo", "na", "ver", "ex", "sub", "un", "pre", "ist", "ous",
    "ble",
    "ch", "sh", "th", "ph", "low", "high", "get", "set", "key", "val", "ob", "ject", "ar", "ray",
    "str",
  ]
  private static let digits = (0..<10).map(String.init)
  private static let signs = [
    "\"", "'", "{", "}", "[", "]", "(", ")", ":", ",", ";", ".", "\n", "  ", "\t", "=", "-", "_",
    "/", "\\",
    "<", ">", "!", "*", "#", "$", "&", "|", "+", "%", "@", "~", "`", "^", "?",
  ]

  private struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }
}
