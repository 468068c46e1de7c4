import MartletModel

/// Walking the vocabulary along the constraint.
extension ConstraintTable {
  /// The allowed tokens as ranges of the trie's order. Subtrees that free text takes as a whole are
  /// not entered.
  mutating func allowedRanges(at place: Int32) -> [Range<Int32>] {
    guard spellsAllBytes else { return checkedRanges(at: place) }
    var ranges: [Range<Int32>] = []
    func add(_ range: Range<Int32>) {
      guard !range.isEmpty else { return }
      if let last = ranges.last, last.upperBound == range.lowerBound {
        ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
      } else {
        ranges.append(range)
      }
    }
    path[0] = (place, matcher.row(of: place))
    var node = 1
    while node < trie.nodeCount {
      let depth = Int(trie.depth[node])
      let above = path[depth - 1]
      let column = Int(matcher.grammar.classes.classOf[Int(trie.byte[node])])
      let next = matcher.step(row: above.row, of: above.place, column)
      let end = Int(trie.end[node])
      if next == ByteMatcher.dead {
        node = end
      } else if end == node + 1 {
        add(trie.first[node]..<trie.first[end])
        node = end
      } else if takesWhole(next, node) {
        add(trie.first[node]..<trie.first[end])
        node = end
      } else {
        add(trie.first[node]..<trie.first[node + 1])
        path[depth] = (next, matcher.row(of: next))
        node += 1
      }
    }
    return ranges
  }

  /// Whether every token below a node goes on from `place`.
  private mutating func takesWhole(_ place: Int32, _ node: Int) -> Bool {
    let state = Int(matcher.wideState(place))
    guard state >= 0 else { return false }
    let below = trie.below[node]
    return below.low & ~matcher.grammar.wide.low[state] == 0
      && below.high & ~matcher.grammar.wide.high[state] == 0
      && (!below.hasOthers
        || (below.isText && below.leads & ~matcher.grammar.wide.leads[state] == 0))
      && below.length <= matcher.grammar.wide.run[state]
  }

  /// The same for a vocabulary that cannot spell every byte: a token is allowed if tokens can
  /// complete what it begins.
  private mutating func checkedRanges(at place: Int32) -> [Range<Int32>] {
    var ranges: [Range<Int32>] = []
    for (index, next) in continuations(of: place) where isLive(next) {
      ranges.append(index..<index + 1)
    }
    return ranges
  }

  /// Every token that goes on from `place`, as an index of the trie's order, with where it leads.
  private mutating func continuations(of place: Int32) -> [(index: Int32, place: Int32)] {
    var result: [(index: Int32, place: Int32)] = []
    path[0] = (place, matcher.row(of: place))
    var node = 1
    while node < trie.nodeCount {
      let depth = Int(trie.depth[node])
      let above = path[depth - 1]
      let column = Int(matcher.grammar.classes.classOf[Int(trie.byte[node])])
      let next = matcher.step(row: above.row, of: above.place, column)
      guard next != ByteMatcher.dead else {
        node = Int(trie.end[node])
        continue
      }
      for index in trie.first[node]..<trie.first[node + 1]
      where !endTokens.contains(trie.order[Int(index)]) {
        result.append((index, next))
      }
      path[depth] = (next, matcher.row(of: next))
      node += 1
    }
    return result
  }

  // MARK: Dead ends of the vocabulary

  /// The most places that are looked at to find out whether tokens can complete a text. Beyond it
  /// they are taken to.
  private static let searchLimit = 20_000

  /// Whether tokens can complete the text from a place; breadth first over places, remembered.
  mutating func isLive(_ place: Int32) -> Bool {
    if spellsAllBytes || matcher.accepts(place) { return true }
    if let known = liveness[place] { return known }
    var parent: [Int32: Int32] = [place: place]
    var queue = [place]
    var at = 0
    while at < queue.count {
      guard queue.count < Self.searchLimit else {
        liveness[place] = true
        return true
      }
      let current = queue[at]
      at += 1
      for (_, next) in continuations(of: current) where parent[next] == nil {
        if liveness[next] == false { continue }
        if matcher.accepts(next) || liveness[next] == true {
          var link = current
          while liveness.updateValue(true, forKey: link) == nil, link != place {
            link = parent[link]!
          }
          return true
        }
        parent[next] = current
        queue.append(next)
      }
    }
    for seen in queue { liveness[seen] = false }
    return false
  }

  /// Throws when tokens cannot spell any text that is allowed.
  mutating func requireSpelling(of name: String) throws(EngineError) {
    guard !isLive(matcher.start) else { return }
    var missing: [ClosedRange<UInt8>] = []
    for place in liveness.keys.sorted() {
      let classes = matcher.possibleClasses(place, most: .max)
      for range in classes.flatMap({ matcher.grammar.classes.ranges[$0] }) {
        for byte in range where trie.tokens(ofByte: byte).isEmpty {
          missing.append(byte...byte)
        }
      }
    }
    throw EngineError(
      .argument,
      "the vocabulary of \(trie.vocabularySize) tokens cannot spell any text that \(name) allows; "
        + "it lacks \(ByteText.describe(missing)); use a model whose tokenizer has that")
  }
}

extension TokenTrie {
  /// Tokens of exactly one byte.
  func tokens(ofByte value: UInt8) -> ArraySlice<Token> {
    var node = 1
    while node < nodeCount {
      if byte[node] == value { return order[Int(first[node])..<Int(first[node + 1])] }
      node = Int(end[node])
    }
    return []
  }
}

/// Bytes in messages.
enum ByteText {
  /// `'a' to 'z', '"', byte 0xC3`; the first eight of them.
  static func describe(_ ranges: [ClosedRange<UInt8>]) -> String {
    var merged: [ClosedRange<UInt8>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = merged.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 {
        merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    if merged.isEmpty { return "nothing" }
    let parts = merged.prefix(8).map { range in
      range.count == 1
        ? name(range.lowerBound) : "\(name(range.lowerBound)) to \(name(range.upperBound))"
    }
    return parts.joined(separator: ", ") + (merged.count > 8 ? ", …" : "")
  }

  private static func name(_ byte: UInt8) -> String {
    byte >= 0x20 && byte < 0x7F
      ? "'\(Character(Unicode.Scalar(byte)))'"
      : "byte 0x" + String(byte, radix: 16, uppercase: true)
  }
}
