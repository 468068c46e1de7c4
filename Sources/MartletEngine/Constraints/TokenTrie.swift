import MartletModel

/// The bytes of a vocabulary's tokens as a tree, made once per tokenizer.
///
/// Nodes are numbered in the order in which a walk meets them, so a subtree is a range of nodes and
/// its tokens are a range of ``order``; a walk needs no stack but the places of its ancestors. The
/// root is node 0. Tokens without text (control tokens) are not in it. Building it costs about
/// O(bytes of all tokens).
struct TokenTrie: Sendable {
  let vocabularySize: Int
  /// The byte that leads to each node.
  private(set) var byte: [UInt8] = []
  /// The node after each node's subtree.
  private(set) var end: [Int32] = []
  /// Bytes from the root.
  private(set) var depth: [Int32] = []
  /// Tokens that end at a node or in its subtree: `order[first[node] ..< first[end[node]]]`, those
  /// of the node itself first, up to `first[node + 1]`.
  private(set) var first: [Int32] = []
  private(set) var order: [Token] = []
  /// What is below a node; see ``Below``.
  private(set) var below: [Below] = []
  /// The token of each single byte, the lowest if there are several.
  private(set) var byteTokens = [Token?](repeating: nil, count: 256)

  /// What the tokens of a subtree have in common, as bytes after its node.
  struct Below: Sendable, Equatable {
    /// Which bytes below 128 occur.
    var low: UInt64 = 0
    var high: UInt64 = 0
    /// The most bytes of a token.
    var length: Int32 = 0
    /// Whether bytes of 128 and above occur, and which first bytes of characters, less 0xC0.
    var hasOthers = false
    var leads: UInt64 = 0
    /// Whether all are valid UTF-8, begun at a character, as far as they go.
    var isText = true
  }

  var nodeCount: Int { byte.count }

  init(_ codec: any TokenCodec) {
    vocabularySize = codec.vocabularySize
    var texts: [[UInt8]] = []
    texts.reserveCapacity(codec.vocabularySize)
    for token in 0..<Token(codec.vocabularySize) {
      texts.append(codec.bytes(of: token, renderSpecial: false))
    }
    var tokens = texts.indices.filter { !texts[$0].isEmpty }.map(Token.init)
    sort(&tokens, by: texts)
    grow(tokens, texts)
    describeSubtrees()
    for token in tokens.reversed() where texts[Int(token)].count == 1 {
      byteTokens[Int(texts[Int(token)][0])] = token
    }
  }

  /// Sorts tokens by their bytes, equal ones by id: buckets by one byte at a time.
  private func sort(_ tokens: inout [Token], by texts: [[UInt8]]) {
    var pending = [(range: 0..<tokens.count, depth: 0)]
    while let (range, depth) = pending.popLast() {
      guard range.count > 12 else {
        let sorted = tokens[range].sorted {
          let (a, b) = (texts[Int($0)], texts[Int($1)])
          return a == b ? $0 < $1 : a.lexicographicallyPrecedes(b)
        }
        tokens.replaceSubrange(range, with: sorted)
        continue
      }
      // Bucket 0 holds the tokens that end here.
      var buckets = [[Token]](repeating: [], count: 257)
      for token in tokens[range] {
        let text = texts[Int(token)]
        buckets[text.count == depth ? 0 : Int(text[depth]) + 1].append(token)
      }
      var at = range.lowerBound
      for (i, bucket) in buckets.enumerated() where !bucket.isEmpty {
        tokens.replaceSubrange(at..<at + bucket.count, with: i == 0 ? bucket.sorted() : bucket)
        if i > 0 { pending.append((at..<at + bucket.count, depth + 1)) }
        at += bucket.count
      }
    }
  }

  private mutating func grow(_ tokens: [Token], _ texts: [[UInt8]]) {
    var open: [Int] = []
    func close(to depth: Int) {
      while open.count > depth { end[open.removeLast()] = Int32(byte.count) }
    }
    func add(_ value: UInt8) {
      byte.append(value)
      end.append(0)
      depth.append(Int32(open.count))
      first.append(Int32(order.count))
      open.append(byte.count - 1)
    }
    add(0)
    var last: [UInt8] = []
    for token in tokens {
      let text = texts[Int(token)]
      var common = 0
      while common < min(last.count, text.count), last[common] == text[common] { common += 1 }
      close(to: common + 1)
      for value in text[common...] { add(value) }
      order.append(token)
      last = text
    }
    close(to: 0)
    first.append(Int32(order.count))
  }

  /// From the leaves up: every node comes after its parent.
  private mutating func describeSubtrees() {
    below = [Below](repeating: Below(), count: byte.count)
    // Which states of UTF-8 a subtree may begin in and be text.
    var validFrom = [UInt16](repeating: .max, count: byte.count)
    var parents = [Int](repeating: 0, count: byte.count)
    var path: [Int] = []
    for node in byte.indices {
      path.removeLast(path.count - Int(depth[node]))
      parents[node] = path.last ?? 0
      path.append(node)
    }
    for node in byte.indices.dropFirst().reversed() {
      let parent = parents[node]
      let value = byte[node]
      if value < 64 {
        below[parent].low |= 1 << UInt64(value)
      } else if value < 128 {
        below[parent].high |= 1 << UInt64(value - 64)
      } else {
        below[parent].hasOthers = true
        if value >= 0xC0 { below[parent].leads |= 1 << UInt64(value - 0xC0) }
      }
      below[parent].leads |= below[node].leads
      below[parent].low |= below[node].low
      below[parent].high |= below[node].high
      below[parent].hasOthers = below[parent].hasOthers || below[node].hasOthers
      below[parent].length = max(below[parent].length, below[node].length + 1)
      for state in UTF8State.allCases {
        let isValid =
          state.after(value).map { validFrom[node] >> UInt16($0.rawValue) & 1 == 1 } ?? false
        if !isValid { validFrom[parent] &= ~(1 << UInt16(state.rawValue)) }
      }
      below[node].isText = validFrom[node] & 1 == 1
    }
    below[0].isText = validFrom[0] & 1 == 1
  }
}

/// Where in a UTF-8 character a byte string stands.
private enum UTF8State: Int, CaseIterable {
  case boundary = 0
  case one, two, three
  case afterE0, afterED, afterF0, afterF4

  func after(_ byte: UInt8) -> UTF8State? {
    switch (self, byte) {
    case (.boundary, 0...0x7F): .boundary
    case (.boundary, 0xC2...0xDF): .one
    case (.boundary, 0xE0): .afterE0
    case (.boundary, 0xED): .afterED
    case (.boundary, 0xE1...0xEF): .two
    case (.boundary, 0xF0): .afterF0
    case (.boundary, 0xF1...0xF3): .three
    case (.boundary, 0xF4): .afterF4
    case (.one, 0x80...0xBF): .boundary
    case (.two, 0x80...0xBF), (.afterE0, 0xA0...0xBF), (.afterED, 0x80...0x9F): .one
    case (.three, 0x80...0xBF), (.afterF0, 0x90...0xBF), (.afterF4, 0x80...0x8F): .two
    default: nil
    }
  }
}
