/// Finds special and user-defined tokens in a text before anything else is tokenised.
///
/// Longer tokens take their places first, wherever they stand, as in llama.cpp; equal lengths go by
/// id.
struct SpecialTokenMatcher: Sendable {
  /// What a text falls into.
  enum Fragment {
    case text(Range<Int>)
    case token(Token)
  }

  private struct Entry: Sendable {
    var token: Token
    /// Recognised even where special tokens are not to be parsed.
    var always: Bool
    var stripsLeft: Bool
    var stripsRight: Bool
  }

  private var index = ByteStringIndex()
  private var entries: [Entry] = []
  /// Lengths of the tokens that start with each byte, longest first.
  private var lengths = [[Int]](repeating: [], count: 256)

  /// The matcher of every token whose attributes make it special or user defined.
  init(tokens: ByteStrings, attributes: [TokenAttributes]) {
    var first = [Set<Int>](repeating: [], count: 256)
    for token in 0..<tokens.count {
      let attribute = attributes[token]
      guard !attribute.isDisjoint(with: [.control, .userDefined, .unknown]) else { continue }
      let bytes = Array(tokens[token])
      index.insert(bytes.span, value: Int32(entries.count))
      first[Int(bytes[0])].insert(bytes.count)
      entries.append(
        Entry(
          token: Token(token), always: attribute.isDisjoint(with: [.control, .unknown]),
          stripsLeft: attribute.contains(.stripsLeft),
          stripsRight: attribute.contains(.stripsRight)))
    }
    lengths = first.map { $0.sorted(by: >) }
  }

  /// Cuts `text` into tokens and the stretches between them.
  func fragments(_ text: Span<UInt8>, parseSpecial: Bool) -> [Fragment] {
    guard !text.isEmpty else { return [] }
    var present: Set<Int> = []
    for position in text.indices {
      for length in lengths[Int(text[position])]
      where entry(text, position, length, parseSpecial) != nil {
        present.insert(length)
      }
    }
    guard !present.isEmpty else { return [.text(0..<text.count)] }

    // 1: inside a token or stripped beside one.
    var taken = [Bool](repeating: false, count: text.count)
    var matches: [(start: Int, end: Int, token: Token)] = []
    for length in present.sorted(by: >) {
      var found: [(entry: Int, start: Int)] = []
      for start in 0...(text.count - length) where !taken[start] {
        if let entry = entry(text, start, length, parseSpecial) { found.append((entry, start)) }
      }
      found.sort { ($0.entry, $0.start) < ($1.entry, $1.start) }
      for (number, start) in found {
        let end = start + length
        guard !taken[start..<end].contains(true) else { continue }
        matches.append((start, end, entries[number].token))
        for place in start..<end { taken[place] = true }
        strip(text, entries[number], start, end, &taken)
      }
    }
    return cut(text.count, matches.sorted { $0.start < $1.start }, taken)
  }

  private func entry(
    _ text: Span<UInt8>, _ start: Int, _ length: Int, _ parseSpecial: Bool
  ) -> Int? {
    guard start + length <= text.count,
      let found = index.find(text.extracting(start..<start + length))
    else { return nil }
    return parseSpecial || entries[Int(found)].always ? Int(found) : nil
  }

  private func strip(
    _ text: Span<UInt8>, _ entry: Entry, _ start: Int, _ end: Int, _ taken: inout [Bool]
  ) {
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
    var place = start - 1
    while entry.stripsLeft, place >= 0, !taken[place], isSpace(text[place]) {
      taken[place] = true
      place -= 1
    }
    place = end
    while entry.stripsRight, place < text.count, !taken[place], isSpace(text[place]) {
      taken[place] = true
      place += 1
    }
  }

  private func cut(
    _ count: Int, _ matches: [(start: Int, end: Int, token: Token)], _ taken: [Bool]
  ) -> [Fragment] {
    var fragments: [Fragment] = []
    var position = 0
    func appendText(upTo end: Int) {
      var start = position
      while start < end, taken[start] { start += 1 }
      var stop = end
      while stop > start, taken[stop - 1] { stop -= 1 }
      if start < stop { fragments.append(.text(start..<stop)) }
    }
    for match in matches {
      appendText(upTo: match.start)
      fragments.append(.token(match.token))
      position = match.end
    }
    appendText(upTo: count)
    return fragments
  }
}
