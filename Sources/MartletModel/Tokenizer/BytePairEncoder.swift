/// Byte pair encoding: words from the pre-tokenizer, merged by the file's ranked list.
struct BytePairEncoder: Sendable {
  /// `left piece << 32 | right piece` → rank and result, in an open-addressing table.
  private struct MergeTable: Sendable {
    private var keys: [UInt64]
    private var ranks: [UInt32]
    private var results: [Int32]
    private static let free = UInt64.max

    init(capacity: Int) {
      var size = 16
      while size < capacity * 2 { size *= 2 }
      keys = [UInt64](repeating: Self.free, count: size)
      ranks = [UInt32](repeating: 0, count: size)
      results = [Int32](repeating: 0, count: size)
    }

    /// The first rank given to a pair stays.
    mutating func insert(_ left: Int32, _ right: Int32, rank: UInt32, result: Int32) {
      let slot = slot(left, right)
      guard keys[slot] == Self.free else { return }
      keys[slot] = Self.key(left, right)
      ranks[slot] = rank
      results[slot] = result
    }

    @inline(__always)
    func find(_ left: Int32, _ right: Int32) -> (priority: UInt32, piece: Int32)? {
      let slot = slot(left, right)
      return keys[slot] == Self.free ? nil : (ranks[slot], results[slot])
    }

    @inline(__always)
    private func slot(_ left: Int32, _ right: Int32) -> Int {
      let key = Self.key(left, right)
      let mask = keys.count - 1
      var slot = Int(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) >> 24) & mask
      while keys[slot] != Self.free, keys[slot] != key { slot = (slot + 1) & mask }
      return slot
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
      UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }
  }

  private struct Merger: SymbolMerger {
    let table: MergeTable

    @inline(__always)
    func merge(_ left: MergeSymbol, _ right: MergeSymbol) -> (priority: UInt32, piece: Int32)? {
      if left.piece < 0 || right.piece < 0 { return nil }
      return table.find(left.piece, right.piece)
    }
  }

  private let preTokenizer: PreTokenizer
  /// Pieces by the bytes they stand for: tokens under their own number, strings that only merges
  /// name under numbers from `tokenCount` up.
  private let pieces: ByteStringIndex
  private let tokenCount: Int32
  private let merger: Merger
  /// The piece of each byte, -1 for none (UTF-8 tokenizers look whole characters up instead).
  private let bytePieces: [Int32]
  /// What a byte that is in no token becomes: the tokens of its stored characters, if any.
  private let fallback: [[Token]]

  /// `tokens` must be distinct.
  init(tokens: ByteStrings, merges: ByteStrings, preTokenizer: PreTokenizer) {
    self.preTokenizer = preTokenizer
    tokenCount = Int32(tokens.count)
    let encoded = preTokenizer.encodesBytes
    var numbering = PieceNumbering(tokens: tokens, encoded: encoded)
    bytePieces = (0..<256).map { encoded ? numbering.piece(ofBytes: [UInt8($0)]) : -1 }
    var table = MergeTable(capacity: merges.count)
    for rank in 0..<merges.count {
      let merge = merges[rank]
      // The first space after the first byte divides; a merge without one can never apply, nor
      // can one that names characters no byte is stored as.
      guard let divider = merge.dropFirst().firstIndex(of: 0x20),
        let left = numbering.bytes(merge[..<divider]),
        let right = numbering.bytes(merge[(divider + 1)...])
      else { continue }
      table.insert(
        numbering.piece(ofBytes: left), numbering.piece(ofBytes: right), rank: UInt32(rank),
        result: numbering.piece(ofBytes: left + right))
    }
    merger = Merger(table: table)
    pieces = numbering.pieces

    var stored = ByteStringIndex(capacity: tokens.count)
    for token in 0..<tokens.count where tokens.length(token) <= 6 {
      stored.insert(Array(tokens[token]).span, value: Int32(token))
    }
    fallback = (0..<256).map { byte in
      let names =
        encoded
        ? ByteAlphabet.encode(UInt8(byte)).map { [$0] } : [ByteAlphabet.hexName(UInt8(byte))]
      return names.compactMap { stored.find($0.span) }
    }
  }

  /// Numbers pieces while the tables are built.
  private struct PieceNumbering {
    private(set) var pieces: ByteStringIndex
    private let encoded: Bool
    private var next: Int32

    init(tokens: ByteStrings, encoded: Bool) {
      pieces = ByteStringIndex(capacity: tokens.count + 256)
      self.encoded = encoded
      next = Int32(tokens.count)
      for token in 0..<tokens.count {
        if let bytes = bytes(tokens[token]) { pieces.insert(bytes.span, value: Int32(token)) }
      }
    }

    /// The bytes a stored text stands for, or nil when it cannot occur in a word.
    func bytes(_ stored: ArraySlice<UInt8>) -> [UInt8]? {
      let bytes = encoded ? ByteAlphabet.decode(stored) : Array(stored)
      return bytes?.isEmpty == true ? nil : bytes
    }

    mutating func piece(ofBytes bytes: [UInt8]) -> Int32 {
      let found = pieces.insert(bytes.span, value: next)
      if found == next { next += 1 }
      return found
    }
  }

  /// Appends the tokens of a stretch of ordinary text.
  func encode(_ bytes: Span<UInt8>, into tokens: inout [Token]) {
    let text = ScalarText(bytes, escapingSpaces: preTokenizer.escapesWhitespace)
    var loop = MergeLoop()
    preTokenizer.forEachWord(text) { word in
      let span = text.bytes.span.extracting(word)
      if preTokenizer.ignoresMerges || (preTokenizer.keepsNewlineRuns && span[0] == 0x0a),
        let token = pieces.find(span), token < tokenCount
      {
        tokens.append(token)
        return
      }
      loop.symbols.removeAll(keepingCapacity: true)
      var start = word.lowerBound
      while start < word.upperBound {
        let end: Int
        let piece: Int32
        if preTokenizer.encodesBytes {
          end = start + 1
          piece = bytePieces[Int(text.bytes[start])]
        } else {
          end = min(start + ScalarText.sequenceLength(text.bytes[start]), word.upperBound)
          piece = pieces.find(text.bytes.span.extracting(start..<end)) ?? -1
        }
        loop.symbols.append(MergeSymbol(piece: piece, start: Int32(start), end: Int32(end)))
        start = end
      }
      loop.run(merger)
      for symbol in loop.symbols {
        if symbol.piece >= 0, symbol.piece < tokenCount {
          tokens.append(symbol.piece)
        } else {
          for index in Int(symbol.start)..<Int(symbol.end) {
            tokens.append(contentsOf: fallback[Int(text.bytes[index])])
          }
        }
      }
    }
  }
}
