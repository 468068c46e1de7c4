/// A parsed regular expression.
indirect enum RegexSyntax: Sendable {
  case empty
  case scalar(ScalarSet)
  case sequence([RegexSyntax])
  case alternation([RegexSyntax])
  case repetition(RegexSyntax, least: Int, most: Int?)

  /// Adds the automaton of this expression to a graph.
  func compile(
    _ graph: inout PatternGraph, _ encoding: TextEncoding
  ) throws(EngineError) -> PatternGraph.Fragment {
    switch self {
    case .empty: return try graph.empty()
    case .scalar(let set): return try graph.scalar(set, encoding)
    case .sequence(let parts):
      var fragments: [PatternGraph.Fragment] = []
      for part in parts { fragments.append(try part.compile(&graph, encoding)) }
      return try graph.sequence(fragments)
    case .alternation(let parts):
      var fragments: [PatternGraph.Fragment] = []
      for part in parts { fragments.append(try part.compile(&graph, encoding)) }
      return try graph.alternation(fragments)
    case .repetition(let part, let least, let most):
      return try graph.repetition(least: least, most: most) {
        (graph: inout PatternGraph) throws(EngineError) in
        try part.compile(&graph, encoding)
      }
    }
  }

  /// Nodes of its automaton, about; saturates. Known before anything is built, so that a pattern
  /// such as `(a{1000}){1000}` costs nothing.
  var size: Int {
    switch self {
    case .empty: return 1
    case .scalar(let set): return 2 + min(set.ranges.count, 4096) * 4
    case .sequence(let parts), .alternation(let parts):
      return parts.reduce(2) { Self.sum($0, $1.size) }
    case .repetition(let part, let least, let most):
      let (product, overflow) = part.size.multipliedReportingOverflow(by: max(1, most ?? least + 1))
      return overflow ? .max : Self.sum(product, 3)
    }
  }

  private static func sum(_ a: Int, _ b: Int) -> Int {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : sum
  }
}

/// The sets that escapes name, as ECMAScript defines them without the `i` flag.
enum RegexSets {
  static let digits = ScalarSet([0x30...0x39])
  static let words = ScalarSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
  static let spaces = ScalarSet([
    0x09...0x0D, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029,
    0x202F...0x202F, 0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
  ])
  /// What `.` does not match.
  static let lineEnds = ScalarSet([0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029])
}
