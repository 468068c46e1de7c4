import MartletEngine

/// A tokenizer whose tokens are given words: token i renders `words[i]`, then come the end token
/// and the token for text that no word matches.
public struct WordCodec: TokenCodec, Equatable {
  /// The words, by token id.
  public let words: [String]
  /// The token that ends a sequence.
  public var end: Int32 { Int32(words.count) }
  /// The token of a character that no word matches; it renders as U+FFFD.
  public var unknown: Int32 { Int32(words.count + 1) }

  private let bytes: [[UInt8]]
  /// Word ids by falling length, then id.
  private let byLength: [Int]

  /// A codec for non-empty words.
  public init(words: [String]) {
    precondition(!words.contains(""), "a word is empty")
    self.words = words
    bytes = words.map { Array($0.utf8) }
    let lengths = bytes.map(\.count)
    byLength = words.indices.sorted { (lengths[$1], $0) < (lengths[$0], $1) }
  }

  public var vocabularySize: Int { words.count + 2 }
  public var bosToken: Int32? { nil }
  public var endOfGenerationTokens: Set<Int32> { [end] }

  /// The longest word at each place, left to right. `addSpecial` and `parseSpecial` do nothing.
  public func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [Int32] {
    let all = Array(text.utf8)
    var tokens: [Int32] = []
    var at = 0
    while at < all.count {
      let match = byLength.first { all[at...].starts(with: bytes[$0]) }
      if let match {
        tokens.append(Int32(match))
        at += bytes[match].count
      } else {
        tokens.append(unknown)
        at += 1
        while at < all.count && all[at] & 0xC0 == 0x80 { at += 1 }
      }
    }
    return tokens
  }

  public func bytes(of token: Int32, renderSpecial: Bool) -> [UInt8] {
    if token >= 0 && Int(token) < words.count { return bytes[Int(token)] }
    if token == unknown { return Array("\u{FFFD}".utf8) }
    return renderSpecial && token == end ? Array("<end>".utf8) : []
  }

  /// The token of a word.
  public func token(_ word: String) -> Int32? { words.firstIndex(of: word).map(Int32.init) }
}

/// A tokenizer with one token per byte, an end token 256 and a begin token 257.
public struct ByteCodec: TokenCodec, Equatable {
  /// The byte-level codec.
  public init() {}

  /// The token that ends a sequence.
  public var end: Int32 { 256 }
  public var vocabularySize: Int { 258 }
  public var bosToken: Int32? { 257 }
  public var endOfGenerationTokens: Set<Int32> { [256] }

  public func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [Int32] {
    (addSpecial ? [257] : []) + text.utf8.map(Int32.init)
  }

  public func bytes(of token: Int32, renderSpecial: Bool) -> [UInt8] {
    switch token {
    case 0..<256: [UInt8(token)]
    case 256 where renderSpecial: Array("<end>".utf8)
    case 257 where renderSpecial: Array("<begin>".utf8)
    default: []
    }
  }
}
