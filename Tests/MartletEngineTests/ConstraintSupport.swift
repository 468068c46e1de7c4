import MartletEngine
import MartletSimulation

/// Follows a constraint by random choices among the allowed tokens until the text ends: a model that
/// knows nothing. The longer the text, the more it wants to end.
func randomText(
  _ constraint: TokenConstraint, _ codec: any TokenCodec, _ random: inout TestRandom,
  checking check: ([UInt8], TokenMask) -> Void = { _, _ in }
) throws -> [UInt8]? {
  var state = constraint.makeState()
  var text: [UInt8] = []
  for length in 0..<4000 {
    let mask = try constraint.mask(of: &state)
    check(text, mask)
    let allowed = mask.tokens
    let ends = allowed.filter { constraint.endTokens.contains($0) }
    if let end = ends.first, random.uniform() < 0.2 + Double(length) / 100 {
      return constraint.advance(&state, by: end) ? text : nil
    }
    var token = allowed.randomElement(using: &random)!
    // Closing signs are rare among all tokens; without a preference texts grow for ever.
    if random.uniform() < 0.15 + Double(length) / 400 {
      let closing = allowed.filter {
        let bytes = codec.bytes(of: $0, renderSpecial: false)
        return bytes == [0x22] || bytes == [0x5D] || bytes == [0x7D]
      }
      token = closing.randomElement(using: &random) ?? token
    }
    if constraint.endTokens.contains(token) { return text }
    guard constraint.advance(&state, by: token) else { return nil }
    text += codec.bytes(of: token, renderSpecial: false)
  }
  return nil
}

/// A vocabulary of given byte strings and an end token, for tests: tokens may be any bytes.
struct PieceCodec: TokenCodec {
  let pieces: [[UInt8]]
  var end: Int32 { Int32(pieces.count) }
  var vocabularySize: Int { pieces.count + 1 }
  var bosToken: Int32? { nil }
  var endOfGenerationTokens: Set<Int32> { [end] }

  /// The longest piece at each place; nothing for what no piece begins.
  func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [Int32] {
    let bytes = Array(text.utf8)
    var tokens: [Int32] = []
    var at = 0
    while at < bytes.count {
      let fits = pieces.indices.filter { bytes[at...].starts(with: pieces[$0]) }
      guard let best = fits.max(by: { pieces[$0].count < pieces[$1].count }) else { return [] }
      tokens.append(Int32(best))
      at += pieces[best].count
    }
    return tokens
  }

  func bytes(of token: Int32, renderSpecial: Bool) -> [UInt8] {
    token >= 0 && token < end ? pieces[Int(token)] : []
  }

  /// Every byte, then pieces as a tokenizer has them: words with and without a space, signs of JSON,
  /// parts of characters.
  static func mixed(count: Int, seed: UInt64) -> PieceCodec {
    var random = TestRandom(seed: seed)
    var pieces = (0..<256).map { [UInt8($0)] }
    var known = Set(pieces)
    let parts: [[UInt8]] = [
      "a", "b", "e", "n", "t", "0", "1", "9", " ", "\n", "\"", "\":", "\",", "{\"", "\\", "\\u",
      "[",
      "]", "}", ",", "true", "null", "é", "ö", "日", "本", "😀", "-", ".", "name",
    ].map { Array($0.utf8) }
    while pieces.count < count {
      var piece: [UInt8] = []
      for _ in 0...Int.random(in: 0..<5, using: &random) {
        piece += parts.randomElement(using: &random)!
      }
      // Some begin or end inside a character.
      if random.uniform() < 0.2 { piece.removeFirst() }
      if random.uniform() < 0.2, !piece.isEmpty { piece.removeLast() }
      if !piece.isEmpty, known.insert(piece).inserted { pieces.append(piece) }
    }
    return PieceCodec(pieces: pieces)
  }
}
