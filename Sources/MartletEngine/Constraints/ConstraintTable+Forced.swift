import MartletModel

/// Text that must come.
extension ConstraintTable {
  /// As much forced text as is spelled at once; bounds the cost of very long constants.
  private static let window = 64

  mutating func forcedToken(after state: inout ConstraintState) -> Token? {
    refresh(&state)
    let place = state.place
    if let known = forced[place] { return known }
    let token = findForced(place)
    forced[place] = .some(token)
    return token
  }

  /// A function of the place alone: what was asked before must not change a text.
  private mutating func findForced(_ place: Int32) -> Token? {
    if matcher.isComplete(place) { return endTokens.first }
    let (bytes, isWhole) = forcedBytes(place)
    if !bytes.isEmpty {
      let spelling = spelling(of: bytes)
      if let token = spelling.first, isWhole || spelling.count > 1,
        spellsAllBytes || isLive(matcher.step(place, codec.bytes(of: token, renderSpecial: false)))
      {
        return token
      }
    }
    let mask = mask(at: place)
    return mask.count == 1 ? mask.tokens[0] : nil
  }

  /// The bytes that must come, and whether the text is complete after them.
  private mutating func forcedBytes(_ place: Int32) -> (bytes: [UInt8], isWhole: Bool) {
    var bytes: [UInt8] = []
    var at = place
    while bytes.count < Self.window, !matcher.accepts(at) {
      let classes = matcher.possibleClasses(at, most: 2)
      guard classes.count == 1 else { break }
      let ranges = matcher.grammar.classes.ranges[classes[0]]
      guard ranges.count == 1, ranges[0].count == 1 else { break }
      bytes.append(ranges[0].lowerBound)
      at = matcher.step(at, ranges[0].lowerBound)
    }
    return (bytes, matcher.isComplete(at))
  }

  /// Tokens that spell a text: the tokenizer's own where they give exactly these bytes, else the
  /// longest token at each place. Empty where there are none.
  private func spelling(of bytes: [UInt8]) -> [Token] {
    if let text = String(validating: bytes, as: UTF8.self) {
      let tokens = codec.encode(text, addSpecial: false, parseSpecial: false)
      let spelled = tokens.flatMap { codec.bytes(of: $0, renderSpecial: false) }
      if spelled == bytes, !tokens.contains(where: endTokens.contains) { return tokens }
    }
    var result: [Token] = []
    var at = 0
    while at < bytes.count {
      guard let (token, length) = longestToken(bytes[at...]) else { break }
      result.append(token)
      at += length
    }
    return result
  }

  private func longestToken(_ bytes: ArraySlice<UInt8>) -> (token: Token, length: Int)? {
    var best: (token: Token, length: Int)?
    var child = 1
    var end = trie.nodeCount
    for (i, byte) in bytes.enumerated() {
      while child < end, trie.byte[child] != byte { child = Int(trie.end[child]) }
      guard child < end else { break }
      let own = trie.order[Int(trie.first[child])..<Int(trie.first[child + 1])]
      if let token = own.first(where: { !endTokens.contains($0) }) { best = (token, i + 1) }
      end = Int(trie.end[child])
      child += 1
    }
    return best
  }
}
