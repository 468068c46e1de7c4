extension Tokenizer {
  /// Turns tokens into text as they come, giving out only complete characters.
  ///
  /// Bytes that can never become valid UTF-8 give one U+FFFD per maximal subpart, as the Unicode
  /// standard recommends and `decode` does; bytes that may still be completed are kept back until
  /// the next token or `finish()`. What is given out in all is exactly `decode` of all the tokens.
  public struct StreamDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let renderSpecial: Bool
    private var dropsSpace: Bool
    private var pending: [UInt8] = []

    init(_ tokenizer: Tokenizer, renderSpecial: Bool, continuation: Bool) {
      self.tokenizer = tokenizer
      self.renderSpecial = renderSpecial
      dropsSpace = tokenizer.addsSpacePrefix && !continuation
    }

    /// The text that the token completes.
    public mutating func append(_ token: Token) -> String {
      var piece = tokenizer.bytes(of: token, renderSpecial: renderSpecial)[...]
      if piece.isEmpty { return "" }
      if dropsSpace, piece.first == 0x20, !tokenizer.isUserDefined(token) {
        piece = piece.dropFirst()
      }
      dropsSpace = false
      pending.append(contentsOf: piece)
      let complete = pending.count - Self.incompleteTail(pending)
      let text = String(decoding: pending[..<complete], as: UTF8.self)
      pending.removeSubrange(..<complete)
      return text
    }

    /// The text of what was kept back; the decoder can go on afterwards.
    public mutating func finish() -> String {
      defer { pending.removeAll() }
      return String(decoding: pending, as: UTF8.self)
    }

    /// The number of bytes at the end that begin a character and lack its rest.
    static func incompleteTail(_ bytes: [UInt8]) -> Int {
      for length in 1...3 where length <= bytes.count {
        let lead = bytes[bytes.count - length]
        if lead & 0xc0 == 0x80 { continue }
        let size = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1
        guard size > length else { return 0 }
        // The second byte of some leads is restricted: no overlong forms, surrogates or numbers
        // beyond U+10FFFF.
        if length >= 2 {
          let second = bytes[bytes.count - length + 1]
          switch lead {
          case 0xe0 where second < 0xa0, 0xed where second > 0x9f, 0xf0 where second < 0x90,
            0xf4 where second > 0x8f:
            return 0
          default: break
          }
        }
        return length
      }
      return 0
    }
  }

  /// A decoder of tokens that come one at a time.
  ///
  /// SentencePiece puts a space before a text and decoding takes it away again; with `continuation`
  /// the tokens follow others (a model's answer to a prompt), and the space is part of the text.
  public func streamDecoder(
    renderSpecial: Bool = false, continuation: Bool = false
  ) -> StreamDecoder {
    StreamDecoder(self, renderSpecial: renderSpecial, continuation: continuation)
  }
}
