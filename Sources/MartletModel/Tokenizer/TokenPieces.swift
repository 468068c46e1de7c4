/// What stored tokens stand for in a text.
enum TokenPieces {
  /// U+2581, SentencePiece's visible space.
  static let escapedSpace: [UInt8] = [0xe2, 0x96, 0x81]

  /// The bytes of every token; `decodesBytes` where tokens are stored in GPT-2's byte alphabet.
  static func pieces(
    of tokens: ByteStrings, attributes: [TokenAttributes], decodesBytes: Bool
  ) -> ByteStrings {
    var pieces = ByteStrings()
    for token in 0..<tokens.count {
      pieces.append(piece(tokens[token], attributes[token], decodesBytes: decodesBytes))
    }
    return pieces
  }

  private static func piece(
    _ text: ArraySlice<UInt8>, _ attributes: TokenAttributes, decodesBytes: Bool
  ) -> [UInt8] {
    if !attributes.isDisjoint(with: [.control, .unknown, .userDefined]) { return Array(text) }
    if attributes.contains(.normal) {
      // A token outside the byte alphabet can only be meant as text.
      return decodesBytes ? ByteAlphabet.decode(text) ?? Array(text) : unescaped(text)
    }
    if attributes.contains(.byte) { return byte(text).map { [$0] } ?? Array(text) }
    return []
  }

  private static func unescaped(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    var index = text.startIndex
    while index < text.endIndex {
      if text[index...].starts(with: escapedSpace) {
        result.append(0x20)
        index += escapedSpace.count
      } else {
        result.append(text[index])
        index += 1
      }
    }
    return result
  }

  /// The byte that `<0x0A>` names.
  private static func byte(_ text: ArraySlice<UInt8>) -> UInt8? {
    guard text.count == 6, text.starts(with: Array("<0x".utf8)), text.last == 0x3e else {
      return nil
    }
    return UInt8(String(decoding: text.dropFirst(3).prefix(2), as: UTF8.self), radix: 16)
  }
}
