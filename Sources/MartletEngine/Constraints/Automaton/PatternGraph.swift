/// A nondeterministic automaton under construction: nodes, and edges on byte ranges, on nothing, or
/// on a whole other rule. All rules of a grammar share one graph.
///
/// Source: "Regular Expression Search Algorithm" (Thompson), with calls of rules as in a recursive
/// transition network.
struct PatternGraph: Sendable {
  /// A part with one way in and one way out.
  struct Fragment: Sendable {
    let start: Int32
    let end: Int32
  }

  struct Edge: Sendable {
    /// A byte range as `low | high << 8`, ``nothing``, or a call as `-2 - rule`.
    let label: Int32
    let target: Int32
    /// The next edge of the same node, or -1.
    let next: Int32
  }

  /// The most nodes of a graph, which bounds memory to some tens of megabytes.
  static let nodeLimit = 1_000_000
  static let nothing: Int32 = -1

  private(set) var firstEdge: [Int32] = []
  private(set) var edges: [Edge] = []

  mutating func node() throws(EngineError) -> Int32 {
    guard firstEdge.count < Self.nodeLimit else {
      throw EngineError(
        .argument,
        "the constraint needs more than \(Self.nodeLimit) nodes before it is made deterministic; "
          + "use smaller repetition counts or lengths")
    }
    firstEdge.append(-1)
    return Int32(firstEdge.count - 1)
  }

  private mutating func connect(_ from: Int32, _ to: Int32, label: Int32) {
    edges.append(Edge(label: label, target: to, next: firstEdge[Int(from)]))
    firstEdge[Int(from)] = Int32(edges.count - 1)
  }

  mutating func connect(_ from: Int32, _ to: Int32) { connect(from, to, label: Self.nothing) }

  mutating func connect(_ from: Int32, _ to: Int32, on bytes: ClosedRange<UInt8>) {
    connect(from, to, label: Int32(bytes.lowerBound) | Int32(bytes.upperBound) << 8)
  }

  mutating func connect(_ from: Int32, _ to: Int32, calling rule: Int) {
    connect(from, to, label: -2 - Int32(rule))
  }

  // MARK: Fragments

  mutating func empty() throws(EngineError) -> Fragment {
    let node = try node()
    return Fragment(start: node, end: node)
  }

  /// What nothing matches.
  mutating func impossible() throws(EngineError) -> Fragment {
    Fragment(start: try node(), end: try node())
  }

  mutating func call(_ rule: Int) throws(EngineError) -> Fragment {
    let fragment = try impossible()
    connect(fragment.start, fragment.end, calling: rule)
    return fragment
  }

  mutating func literal(_ bytes: some Sequence<UInt8>) throws(EngineError) -> Fragment {
    let start = try node()
    var end = start
    for byte in bytes {
      let next = try node()
      connect(end, next, on: byte...byte)
      end = next
    }
    return Fragment(start: start, end: end)
  }

  mutating func literal(_ text: String) throws(EngineError) -> Fragment {
    try literal(Array(text.utf8))
  }

  mutating func sequence(_ parts: [Fragment]) throws(EngineError) -> Fragment {
    guard let first = parts.first, let last = parts.last else { return try empty() }
    for (part, next) in zip(parts, parts.dropFirst()) { connect(part.end, next.start) }
    return Fragment(start: first.start, end: last.end)
  }

  mutating func alternation(_ parts: [Fragment]) throws(EngineError) -> Fragment {
    let whole = try impossible()
    for part in parts {
      connect(whole.start, part.start)
      connect(part.end, whole.end)
    }
    return whole
  }

  mutating func optional(_ part: Fragment) throws(EngineError) -> Fragment {
    let whole = try alternation([part])
    connect(whole.start, whole.end)
    return whole
  }

  /// Any number of times.
  mutating func star(_ part: Fragment) throws(EngineError) -> Fragment {
    let whole = try impossible()
    connect(whole.start, part.start)
    connect(part.end, whole.start)
    connect(whole.start, whole.end)
    return whole
  }

  /// `part` at least `least` times and at most `most`, without bound if that is nil. A copy is made
  /// for each time.
  mutating func repetition(
    least: Int, most: Int?,
    _ part: (inout PatternGraph) throws(EngineError) -> Fragment
  ) throws(EngineError) -> Fragment {
    let start = try node()
    var end = start
    for _ in 0..<least {
      let copy = try part(&self)
      connect(end, copy.start)
      end = copy.end
    }
    guard let most else {
      let rest = try star(try part(&self))
      connect(end, rest.start)
      return Fragment(start: start, end: rest.end)
    }
    let exit = try node()
    for _ in least..<max(least, most) {
      connect(end, exit)
      let copy = try part(&self)
      connect(end, copy.start)
      end = copy.end
    }
    connect(end, exit)
    return Fragment(start: start, end: exit)
  }

  /// One scalar of a set.
  mutating func scalar(
    _ set: ScalarSet, _ encoding: TextEncoding
  ) throws(EngineError) -> Fragment {
    let whole = try impossible()
    let (plain, escaped) = encoding.division(of: set)
    for range in plain.ranges {
      for sequence in UTF8Sequences.of(range) {
        var at = whole.start
        for (i, bytes) in sequence.enumerated() {
          let next = i == sequence.count - 1 ? whole.end : try node()
          connect(at, next, on: bytes)
          at = next
        }
      }
    }
    for bytes in escaped {
      let part = try literal(bytes)
      connect(whole.start, part.start)
      connect(part.end, whole.end)
    }
    return whole
  }
}

/// How the text that a pattern describes is written.
enum TextEncoding: Sendable {
  /// As UTF-8.
  case plain
  /// Inside a JSON string. Every scalar is written in one way: as it is where JSON allows it, else
  /// by its short escape, else by `\u`.
  case json

  /// The scalars of a set that are written as they are, and the escapes of the others.
  func division(of set: ScalarSet) -> (plain: ScalarSet, escaped: [[UInt8]]) {
    guard self == .json else { return (set, []) }
    let escaped = set.intersection(Self.mustEscape)
    var escapes: [[UInt8]] = []
    for range in escaped.ranges {
      for value in range { escapes.append(Self.escape(UInt8(value))) }
    }
    return (set.subtracting(Self.mustEscape), escapes)
  }

  /// A text's bytes.
  func bytes(of text: String) -> [UInt8] {
    guard self == .json else { return Array(text.utf8) }
    return text.utf8.flatMap { byte in
      byte < 0x20 || byte == 0x22 || byte == 0x5C ? Self.escape(byte) : [byte]
    }
  }

  private static let mustEscape = ScalarSet([0...0x1F, 0x22...0x22, 0x5C...0x5C])

  private static func escape(_ byte: UInt8) -> [UInt8] {
    switch byte {
    case 0x22: return Array("\\\"".utf8)
    case 0x5C: return Array("\\\\".utf8)
    case 0x08: return Array("\\b".utf8)
    case 0x0C: return Array("\\f".utf8)
    case 0x0A: return Array("\\n".utf8)
    case 0x0D: return Array("\\r".utf8)
    case 0x09: return Array("\\t".utf8)
    default:
      let digits = String(byte, radix: 16)
      return Array(("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
    }
  }
}
