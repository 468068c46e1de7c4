/// The numbers between two bounds, as an automaton over digits.
///
/// Numbers have at most 18 digits before the point and 18 behind it, so that every reader holds them
/// and none goes on for ever. A bounded one has no exponent.
struct NumberRange {
  struct Bound {
    let value: DecimalNumber
    let isExclusive: Bool
  }

  var lower: Bound?
  var upper: Bound?
  var isInteger: Bool

  static let mostDigits = 18
  private static let largest = DecimalNumber(
    isNegative: false, whole: [UInt8](repeating: 9, count: mostDigits),
    fraction: [UInt8](repeating: 9, count: mostDigits))

  func compile(_ graph: inout PatternGraph) throws(EngineError) -> PatternGraph.Fragment {
    var parts: [PatternGraph.Fragment] = []
    let zero = DecimalNumber(isNegative: false, whole: [], fraction: [])
    let highest = upper ?? Bound(value: Self.largest, isExclusive: false)
    let lowest = lower ?? Bound(value: Self.largest.negated, isExclusive: false)
    if !highest.value.isNegative {
      let from = lowest.value.isNegative ? Bound(value: zero, isExclusive: false) : lowest
      parts.append(try positive(&graph, from, highest))
    }
    if lowest.value.isNegative {
      // Mirrored, and without -0.
      let from =
        highest.value.isNegative
        ? Bound(value: highest.value.negated, isExclusive: highest.isExclusive)
        : Bound(value: zero, isExclusive: true)
      let to = Bound(value: lowest.value.negated, isExclusive: lowest.isExclusive)
      let sign = try graph.literal("-")
      parts.append(try graph.sequence([sign, try positive(&graph, from, to)]))
    }
    return try graph.alternation(parts)
  }

  /// Numbers of 0 or more.
  private func positive(
    _ graph: inout PatternGraph, _ from: Bound, _ to: Bound
  ) throws(EngineError) -> PatternGraph.Fragment {
    guard let low = from.value.wholeValue else { return try graph.impossible() }
    let capped = to.value.wholeValue == nil ? Bound(value: Self.largest, isExclusive: false) : to
    let high = capped.value.wholeValue!
    guard low <= high else { return try graph.impossible() }
    if low == high {
      return try graph.sequence([
        try graph.literal(String(low)), try fraction(&graph, from: from, to: capped),
      ])
    }
    var parts = [
      try graph.sequence([
        try graph.literal(String(low)), try fraction(&graph, from: from, to: nil),
      ]),
      try graph.sequence([
        try graph.literal(String(high)), try fraction(&graph, from: nil, to: capped),
      ]),
    ]
    if low + 1 <= high - 1 {
      parts.append(
        try graph.sequence([
          try Self.integers(&graph, low + 1, high - 1),
          try fraction(&graph, from: nil, to: nil),
        ]))
    }
    return try graph.alternation(parts)
  }

  // MARK: Digits before the point

  /// Whole numbers of 0 or more, without leading zeros: those of each length apart.
  private static func integers(
    _ graph: inout PatternGraph, _ low: Int64, _ high: Int64
  ) throws(EngineError) -> PatternGraph.Fragment {
    var parts: [PatternGraph.Fragment] = []
    var least: Int64 = 0
    var most: Int64 = 9
    for length in 1...mostDigits {
      let (from, to) = (max(low, least), min(high, most))
      if from <= to {
        parts.append(try sameLength(&graph, Array(String(from).utf8), Array(String(to).utf8)))
      }
      if length < mostDigits { (least, most) = (most + 1, most * 10 + 9) }
    }
    return try graph.alternation(parts)
  }

  private static func sameLength(
    _ graph: inout PatternGraph, _ low: [UInt8], _ high: [UInt8]
  ) throws(EngineError) -> PatternGraph.Fragment {
    var walk = DigitWalk(end: try graph.node())
    let start = try walk.node(&graph, 0, true, true, low, high)
    return .init(start: start, end: walk.end)
  }

  private struct DigitWalk {
    let end: Int32
    private var known: [[Int]: Int32] = [:]

    init(end: Int32) { self.end = end }

    /// The node from which digits `at...` keep between the bounds that are still tight.
    mutating func node(
      _ graph: inout PatternGraph, _ at: Int, _ tightLow: Bool, _ tightHigh: Bool, _ low: [UInt8],
      _ high: [UInt8]
    ) throws(EngineError) -> Int32 {
      if at == low.count { return end }
      let key = [at, tightLow ? 1 : 0, tightHigh ? 1 : 0]
      if let node = known[key] { return node }
      let node = try graph.node()
      known[key] = node
      for digit in (tightLow ? low[at] : 0x30)...(tightHigh ? high[at] : 0x39) {
        let next = try self.node(
          &graph, at + 1, tightLow && digit == low[at], tightHigh && digit == high[at], low, high)
        graph.connect(node, next, on: digit...digit)
      }
      return node
    }
  }

  // MARK: Digits behind the point

  /// A point and digits, or nothing, such that the fraction keeps the bounds that are given.
  private func fraction(
    _ graph: inout PatternGraph, from: Bound?, to: Bound?
  ) throws(EngineError) -> PatternGraph.Fragment {
    let low = from.map { (digits: $0.value.fraction, isExclusive: $0.isExclusive) }
    let high = to.map { (digits: $0.value.fraction, isExclusive: $0.isExclusive) }
    let start = try graph.node()
    let end = try graph.node()
    func mayEnd(_ at: Int, _ tightLow: Bool, _ tightHigh: Bool) -> Bool {
      if tightLow, let low {
        let isEqual = low.digits.dropFirst(at).isEmpty
        if !isEqual || low.isExclusive { return false }
      }
      if tightHigh, let high, high.digits.dropFirst(at).isEmpty, high.isExclusive { return false }
      return true
    }
    if mayEnd(0, low != nil, high != nil) { graph.connect(start, end) }
    guard !isInteger else { return .init(start: start, end: end) }
    let point = try graph.node()
    graph.connect(start, point, on: 0x2E...0x2E)
    // One node per place and per bounds that are still tight.
    var layer: [[Bool]: Int32] = [[low != nil, high != nil]: point]
    for at in 0..<Self.mostDigits {
      var following: [[Bool]: Int32] = [:]
      for (tight, node) in layer.sorted(by: { $0.value < $1.value }) {
        let least = tight[0] ? (low!.digits.dropFirst(at).first ?? 0) : 0
        let most = tight[1] ? (high!.digits.dropFirst(at).first ?? 0) : 9
        guard least <= most else { continue }
        for digit in least...most {
          let key = [tight[0] && digit == least, tight[1] && digit == most]
          let next: Int32
          if let known = following[key] { next = known } else { next = try graph.node() }
          following[key] = next
          graph.connect(node, next, on: digit + 0x30...digit + 0x30)
        }
      }
      for (tight, node) in following.sorted(by: { $0.value < $1.value })
      where mayEnd(at + 1, tight[0], tight[1]) {
        graph.connect(node, end)
      }
      layer = following
    }
    return .init(start: start, end: end)
  }
}
