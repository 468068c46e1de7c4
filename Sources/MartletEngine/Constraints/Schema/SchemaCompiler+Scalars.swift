/// Strings and numbers.
extension SchemaCompiler {
  /// A string with a length, patterns or a format. Several conditions are met together by the
  /// product of their automata.
  mutating func string(_ schema: Schema) throws(EngineError) -> PatternGraph.Fragment {
    let least = try schema.count("minLength") ?? 0
    let most = try schema.count("maxLength")
    if let most, most < least {
      throw schema.failure("minLength", "\(least) is more than maxLength, \(most)")
    }
    let stated = try Self.conditions(of: schema)
    var conditions = stated.required
    let hasLength = least > 0 || most != nil
    guard !conditions.isEmpty || !stated.forbidden.isEmpty else {
      let size = max(least, most ?? 0)
      guard size <= PatternGraph.nodeLimit / 32 else {
        throw schema.failure(
          most == nil ? "minLength" : "maxLength",
          "\(size) characters need more nodes than the limit, \(PatternGraph.nodeLimit)")
      }
      let content = try graph.repetition(least: least, most: most) {
        (graph: inout PatternGraph) throws(EngineError) in
        try Self.anyCharacter(&graph)
      }
      return try quoted(content)
    }
    if hasLength { conditions.append(.repetition(.scalar(.all), least: least, most: most)) }
    if conditions.count == 1, stated.forbidden.isEmpty {
      return try quoted(try conditions[0].compile(&graph, .json))
    }
    let what = "JSON schema, \(schema.path)"
    let content = try AutomatonProduct.add(
      conditions, without: stated.forbidden, to: &graph, what: what)
    // Of what is said by not and if, other choices may be left.
    if content == nil, stated.forbidden.isEmpty {
      throw EngineError(.argument, "\(what): no string meets all conditions")
    }
    guard let content else { return try graph.impossible() }
    return try quoted(content)
  }

  /// The patterns and the format of a schema, and what its strings must not be.
  static func conditions(of schema: Schema) throws(EngineError) -> StringConditions {
    var conditions: [RegexSyntax] = []
    var patterns = try schema.texts(Schema.morePatterns) ?? []
    if let pattern = try schema.text("pattern") { patterns.append(pattern) }
    for pattern in patterns {
      let shown = pattern.count > 60 ? pattern.prefix(60) + "…" : pattern[...]
      conditions.append(
        try RegexParser.parse(
          pattern, extent: .part, what: "JSON schema, \(schema.path), 'pattern' \(shown)"))
    }
    if let format = try schema.text("format") {
      guard let pattern = SchemaFormats.patterns[format] else {
        throw schema.failure(
          "format",
          "'\(format)' is not supported; supported are "
            + SchemaFormats.patterns.keys.sorted().joined(separator: ", "))
      }
      conditions.append(try RegexParser.parse(pattern, what: "format \(format)"))
    }
    var forbidden: [RegexSyntax] = []
    for pattern in try schema.texts(SchemaComplement.notPatterns) ?? [] {
      forbidden.append(
        try RegexParser.parse(
          pattern, extent: .part, what: "JSON schema, \(schema.path), 'pattern' that is negated"))
    }
    for value in try schema.list(SchemaComplement.notValues) ?? [] {
      if case .text(let text) = value { forbidden.append(StringConditions.literal(text)) }
    }
    return StringConditions(required: conditions, forbidden: forbidden)
  }

  mutating func anyCharacter() throws(EngineError) -> PatternGraph.Fragment {
    try Self.anyCharacter(&graph)
  }

  /// One character of a JSON string in any spelling.
  private static func anyCharacter(
    _ graph: inout PatternGraph
  ) throws(EngineError) -> PatternGraph.Fragment {
    func digit(_ ranges: [ClosedRange<UInt32>]) throws(EngineError) -> PatternGraph.Fragment {
      try graph.scalar(ScalarSet(ranges), .plain)
    }
    func any() throws(EngineError) -> PatternGraph.Fragment {
      try digit([0x30...0x39, 0x41...0x46, 0x61...0x66])
    }
    let notD: [ClosedRange<UInt32>] = [
      0x30...0x39, 0x41...0x43, 0x45...0x46, 0x61...0x63, 0x65...0x66,
    ]
    let d: [ClosedRange<UInt32>] = [0x44...0x44, 0x64...0x64]
    let plain = ScalarSet([0x20...0x21, 0x23...0x5B, 0x5D...0x10FFFF])
    let short = ScalarSet("\"\\/bfnrt".unicodeScalars.map { $0.value...$0.value })
    let unit = try graph.alternation([
      try graph.sequence([try digit(notD), try any(), try any(), try any()]),
      try graph.sequence([try digit(d), try digit([0x30...0x37]), try any(), try any()]),
      try graph.sequence([
        try digit(d), try digit([0x38...0x39, 0x41...0x42, 0x61...0x62]), try any(), try any(),
        try graph.literal("\\u"), try digit(d), try digit([0x43...0x46, 0x63...0x66]), try any(),
        try any(),
      ]),
    ])
    let escape = try graph.alternation([
      try graph.scalar(short, .plain), try graph.sequence([try graph.literal("u"), unit]),
    ])
    return try graph.alternation([
      try graph.scalar(plain, .plain),
      try graph.sequence([try graph.literal("\\"), escape]),
    ])
  }

  mutating func number(
    _ schema: Schema, isInteger: Bool
  ) throws(EngineError) -> PatternGraph.Fragment {
    let lower = try Self.bound(schema, "minimum", "exclusiveMinimum") { $1 < $0 }
    let upper = try Self.bound(schema, "maximum", "exclusiveMaximum") { $0 < $1 }
    if schema.has(SchemaComplement.notValues) || schema.has(SchemaComplement.fraction) {
      return try numberWithout(schema, lower, upper, isInteger: isInteger)
    }
    if let multiples = try Self.multiples(schema) {
      let range = NumberRange(lower: lower, upper: upper, isInteger: isInteger)
      var own = PatternGraph()
      let parts = [
        try range.compile(&own), try multiples.compile(&own, isInteger: isInteger),
      ]
      guard
        let content = try AutomatonProduct.add(
          parts, of: own, to: &graph, what: "JSON schema, \(schema.path)")
      else {
        throw EngineError(
          .argument, "JSON schema, \(schema.path): no number meets multipleOf and the bounds")
      }
      return content
    }
    if lower == nil, upper == nil {
      let pattern =
        isInteger
        ? "-?(0|[1-9][0-9]{0,17})"
        : "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?"
      return try RegexParser.parse(pattern, what: "numbers").compile(&graph, .plain)
    }
    return try NumberRange(lower: lower, upper: upper, isInteger: isInteger).compile(&graph)
  }

  /// Numbers in a range that are none of some values, or not whole.
  private mutating func numberWithout(
    _ schema: Schema, _ lower: NumberRange.Bound?, _ upper: NumberRange.Bound?, isInteger: Bool
  ) throws(EngineError) -> PatternGraph.Fragment {
    var own = PatternGraph()
    var parts = [
      try NumberRange(lower: lower, upper: upper, isInteger: isInteger).compile(&own)
    ]
    if let multiples = try Self.multiples(schema) {
      parts.append(try multiples.compile(&own, isInteger: isInteger))
    }
    if schema.has(SchemaComplement.fraction) {
      let broken = try RegexParser.parse("-?[0-9]+\\.[0-9]*[1-9]0*", what: "numbers")
      parts.append(try broken.compile(&own, .plain))
    }
    var forbidden: [PatternGraph.Fragment] = []
    for value in try schema.list(SchemaComplement.notValues) ?? [] {
      guard case .number(let text) = value, let number = DecimalNumber(text) else { continue }
      forbidden.append(
        try RegexParser.parse(number.spellings, what: "numbers").compile(&own, .plain))
    }
    let content = try AutomatonProduct.add(
      parts, without: forbidden, of: own, to: &graph, what: "JSON schema, \(schema.path)")
    guard let content else { return try graph.impossible() }
    return content
  }

  /// What `multipleOf` asks for; nil where it is not there.
  private static func multiples(_ schema: Schema) throws(EngineError) -> Multiples? {
    guard let value = schema["multipleOf"] else { return nil }
    guard case .number(let text) = value, let step = DecimalNumber(text) else {
      throw schema.failure("multipleOf", "must be a number, not \(value.kindName)")
    }
    guard let multiples = Multiples(of: step) else {
      throw schema.failure(
        "multipleOf",
        "\(text) is not supported: it must be above 0, with at most 9 places and at most "
          + "\(Multiples.mostUnits) in units of its last place")
    }
    return multiples
  }

  /// The tighter of a bound and an exclusive bound.
  private static func bound(
    _ schema: Schema, _ inclusive: String, _ exclusive: String,
    isTighter: (DecimalNumber, DecimalNumber) -> Bool
  ) throws(EngineError) -> NumberRange.Bound? {
    func read(_ keyword: String) throws(EngineError) -> DecimalNumber? {
      guard let value = schema[keyword] else { return nil }
      guard case .number(let text) = value else {
        throw schema.failure(keyword, "must be a number, not \(value.kindName)")
      }
      guard let number = DecimalNumber(text) else {
        throw schema.failure(keyword, "\(text) is beyond the range of numbers that are generated")
      }
      return number
    }
    let open = try read(exclusive).map { NumberRange.Bound(value: $0, isExclusive: true) }
    guard let closed = try read(inclusive) else { return open }
    if let open, !isTighter(closed, open.value) { return open }
    return NumberRange.Bound(value: closed, isExclusive: false)
  }
}

/// What `format` means for text that is generated.
enum SchemaFormats {
  private static let date: String = {
    let leap = "(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
    return "(\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)"
      + "|02-(0[1-9]|1\\d|2[0-8]))|\(leap)-02-29)"
  }()
  private static let time =
    "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
  private static let label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

  static let patterns = [
    "date": date,
    "time": time,
    "date-time": "\(date)T\(time)",
    "uuid": "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "email":
      "[A-Za-z0-9_%+-]{1,32}(\\.[A-Za-z0-9_%+-]{1,32}){0,3}@\(label)(\\.\(label)){1,3}",
    "ipv4": "((25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)\\.){3}(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)",
  ]
}

/// Texts that several expressions match, as one automaton.
enum AutomatonProduct {
  /// What matches all of `conditions` and none of `forbidden`, inside a JSON string; nil for nothing.
  static func add(
    _ conditions: [RegexSyntax], without forbidden: [RegexSyntax] = [],
    to graph: inout PatternGraph, what: String
  ) throws(EngineError) -> PatternGraph.Fragment? {
    var own = PatternGraph()
    var fragments: [PatternGraph.Fragment] = []
    // What is left out is left out of something.
    let all = conditions.isEmpty ? [.repetition(.scalar(.all), least: 0, most: nil)] : conditions
    for condition in all { fragments.append(try condition.compile(&own, .json)) }
    var others: [PatternGraph.Fragment] = []
    for condition in forbidden { others.append(try condition.compile(&own, .json)) }
    return try add(fragments, without: others, of: own, to: &graph, what: what)
  }

  /// What matches all of `fragments` and none of `forbidden`, parts of the graph `own`; nil for nothing.
  static func add(
    _ fragments: [PatternGraph.Fragment], without forbidden: [PatternGraph.Fragment] = [],
    of own: PatternGraph, to graph: inout PatternGraph, what: String
  ) throws(EngineError) -> PatternGraph.Fragment? {
    let classes = ByteClasses(own)
    var determiner = Determiniser(own, classes)
    var product = Minimiser.minimised(try determiner.automaton(of: fragments[0], what: what))
    for fragment in fragments.dropFirst() {
      guard let left = product,
        let right = Minimiser.minimised(try determiner.automaton(of: fragment, what: what))
      else {
        product = nil
        break
      }
      product = Minimiser.minimised(try intersection(left, right, what: what))
    }
    for fragment in forbidden {
      guard let left = product else { break }
      guard let right = Minimiser.minimised(try determiner.automaton(of: fragment, what: what))
      else { continue }
      product = Minimiser.minimised(
        try intersection(left, right, isComplement: true, what: what))
    }
    guard let product else { return nil }
    return try embed(product, classes, in: &graph)
  }

  /// What both match; or what `a` matches and `b`, whose complement is meant, does not.
  private static func intersection(
    _ a: RuleAutomaton, _ b: RuleAutomaton, isComplement: Bool = false, what: String
  ) throws(EngineError) -> RuleAutomaton {
    let (left, right) = (rows(a), rows(b))
    var ids: [[Int32]: Int32] = [[0, 0]: 0]
    var pairs: [[Int32]] = [[0, 0]]
    var result = RuleAutomaton(isFinal: [], transitions: [])
    var at = 0
    while at < pairs.count {
      let (x, y) = (Int(pairs[at][0]), Int(pairs[at][1]))
      // Where `b` has no way on, -1, its complement takes everything.
      let isRight = y >= 0 && b.isFinal[y]
      result.isFinal.append(a.isFinal[x] && isRight != isComplement)
      for (label, head) in left[x].sorted(by: { $0.key < $1.key }) {
        let found = y >= 0 ? right[y][label] : nil
        guard let other = found ?? (isComplement ? -1 : nil) else { continue }
        let pair = [head, other]
        let id = ids[pair] ?? Int32(pairs.count)
        if ids.updateValue(id, forKey: pair) == nil { pairs.append(pair) }
        result.transitions.append(.init(tail: Int32(at), label: label, head: id))
      }
      guard pairs.count <= RuleAutomaton.stateLimit else {
        throw EngineError(
          .argument,
          "\(what): meeting all conditions at once needs more than "
            + "\(RuleAutomaton.stateLimit) states, the limit; use smaller lengths or numbers")
      }
      at += 1
    }
    return result
  }

  private static func rows(_ automaton: RuleAutomaton) -> [[Int32: Int32]] {
    var rows = [[Int32: Int32]](repeating: [:], count: automaton.stateCount)
    for transition in automaton.transitions {
      rows[Int(transition.tail)][transition.label] = transition.head
    }
    return rows
  }

  private static func embed(
    _ automaton: RuleAutomaton, _ classes: ByteClasses, in graph: inout PatternGraph
  ) throws(EngineError) -> PatternGraph.Fragment {
    var nodes: [Int32] = []
    for _ in 0..<automaton.stateCount { nodes.append(try graph.node()) }
    let end = try graph.node()
    for (state, isFinal) in automaton.isFinal.enumerated() where isFinal {
      graph.connect(nodes[state], end)
    }
    for transition in automaton.transitions {
      for range in classes.ranges[Int(transition.label)] {
        graph.connect(nodes[Int(transition.tail)], nodes[Int(transition.head)], on: range)
      }
    }
    return .init(start: nodes[0], end: end)
  }
}
