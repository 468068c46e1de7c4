/// SentencePiece's BPE: characters merge into the token of the best score, leftmost first, and what
/// is no token becomes byte tokens.
struct SentencePieceEncoder: Sendable {
  private struct Merger: SymbolMerger {
    let bytes: [UInt8]
    let tokens: ByteStringIndex
    let priorities: [UInt32]

    @inline(__always)
    func merge(_ left: MergeSymbol, _ right: MergeSymbol) -> (priority: UInt32, piece: Int32)? {
      let span = bytes.span.extracting(Int(left.start)..<Int(right.end))
      guard let token = tokens.find(span) else { return nil }
      return (priorities[Int(token)], token)
    }
  }

  private let tokens: ByteStringIndex
  /// The scores as merge priorities: a better score is a smaller number.
  private let priorities: [UInt32]
  /// The tokens of each byte: `<0x0A>`, or the byte itself, or the unknown token.
  private let byteTokens: [Token]
  /// Pairs of characters that stand beside each other in some token. Where a text has another pair
  /// no merge can cross, so a long text falls into short stretches that merge apart.
  private let neighbours: Set<UInt64>

  /// `scores` are finite, one per token; `tokens` are distinct.
  ///
  /// Throws when a byte has neither a token nor the unknown token to stand for it.
  init(tokens: ByteStrings, scores: [Float], unknown: Token?) throws(ModelError) {
    var index = ByteStringIndex(capacity: tokens.count)
    var neighbours: Set<UInt64> = []
    for token in 0..<tokens.count {
      let bytes = Array(tokens[token])
      index.insert(bytes.span, value: Int32(token))
      var start = 0
      var previous: UInt32?
      while start < bytes.count {
        let end = min(start + ScalarText.sequenceLength(bytes[start]), bytes.count)
        let character = Self.character(bytes, start, end)
        if let previous { neighbours.insert(UInt64(previous) << 32 | UInt64(character)) }
        previous = character
        start = end
      }
    }
    var byteTokens: [Token] = []
    for byte in UInt8.min...UInt8.max {
      let named = index.find(ByteAlphabet.hexName(byte).span) ?? index.find([byte].span)
      guard let token = named ?? unknown else {
        throw ModelError(
          .tokenizer,
          "The vocabulary has neither a token for byte \(byte) ('<0x..>') nor an unknown token, so "
            + "some texts cannot be encoded. Convert the model again.")
      }
      byteTokens.append(token)
    }
    self.tokens = index
    self.neighbours = neighbours
    self.byteTokens = byteTokens
    priorities = scores.map(Self.priority)
  }

  /// Appends the tokens of a text whose spaces are already U+2581.
  func encode(_ bytes: [UInt8], into output: inout [Token]) {
    let merger = Merger(bytes: bytes, tokens: tokens, priorities: priorities)
    var loop = MergeLoop()
    var start = 0
    var previous: UInt32?
    while start < bytes.count {
      let end = min(start + ScalarText.sequenceLength(bytes[start]), bytes.count)
      let character = Self.character(bytes, start, end)
      if let before = previous, !neighbours.contains(UInt64(before) << 32 | UInt64(character)) {
        flush(&loop, merger, into: &output)
      }
      previous = character
      let piece = tokens.find(bytes.span.extracting(start..<end)) ?? -1
      loop.symbols.append(MergeSymbol(piece: piece, start: Int32(start), end: Int32(end)))
      start = end
    }
    flush(&loop, merger, into: &output)
  }

  private func flush(_ loop: inout MergeLoop, _ merger: Merger, into output: inout [Token]) {
    loop.run(merger)
    for symbol in loop.symbols {
      if symbol.piece >= 0 {
        output.append(symbol.piece)
      } else {
        for index in Int(symbol.start)..<Int(symbol.end) {
          output.append(byteTokens[Int(merger.bytes[index])])
        }
      }
    }
    loop.symbols.removeAll(keepingCapacity: true)
  }

  /// The bytes of one character as a number: distinct characters give distinct numbers.
  @inline(__always)
  private static func character(_ bytes: [UInt8], _ start: Int, _ end: Int) -> UInt32 {
    var value: UInt32 = 0
    for index in start..<end { value = value << 8 | UInt32(bytes[index]) }
    return value
  }

  /// Maps floats to integers in descending order, with -0 equal to 0.
  private static func priority(_ score: Float) -> UInt32 {
    let bits = (score == 0 ? Float(0) : score).bitPattern
    return bits >> 31 == 0 ? 0x7fff_ffff - bits : bits
  }
}
