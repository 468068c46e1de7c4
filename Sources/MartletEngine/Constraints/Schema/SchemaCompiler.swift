/// Compiles a JSON schema to rules over bytes.
///
/// Every object, array and constrained string is a rule of its own, named by its place in the
/// schema, so that recursion by `$ref` is a rule that calls itself; what chooses between schemas
/// (`anyOf`, several types) is an alternation of calls. What is generated is always valid by the
/// schema, and not all that is valid is generated: members come in the order of the schema, and
/// objects that list `properties` get no others unless `additionalProperties` asks for them, as in
/// Outlines and XGrammar's strict mode.
struct SchemaCompiler {
  let document: JSONText
  let whitespace: JSONWhitespace
  var graph = PatternGraph()

  private var rules: [(name: String, body: PatternGraph.Fragment?)] = []
  private var ruleOf: [String: Int] = [:]
  private var pending: [(rule: Int, build: Body)] = []
  /// Choices that are being opened; one inside itself has no text between.
  private var open: Set<String> = []

  /// What a rule is made of.
  enum Body {
    case object(Schema), array(Schema), string(Schema), number(Schema, isInteger: Bool)
    case anyString, space
  }

  /// The most rules of a schema.
  private static let ruleLimit = 10_000

  init(_ document: JSONText, whitespace: JSONWhitespace) {
    self.document = document
    self.whitespace = whitespace
  }

  mutating func grammar() throws(EngineError) -> ByteGrammar {
    let root = try Schema(document, path: "#")
    rules.append(("the JSON schema", nil))
    rules[0].body = try value(root)
    while let (rule, body) = pending.popLast() { rules[rule].body = try build(body) }
    return try ByteGrammar(graph, rules: rules.map { ($0.name, $0.body!) }, root: 0)
  }

  // MARK: Values

  /// A value that is valid by a schema.
  mutating func value(_ schema: Schema) throws(EngineError) -> PatternGraph.Fragment {
    guard !schema.isImpossible else { return try graph.impossible() }
    try schema.checkKeywords()
    if try isChoice(schema) {
      guard open.insert(schema.path).inserted else {
        throw EngineError(
          .argument,
          "JSON schema, \(schema.path): the schema refers to itself with no text between; a "
            + "recursive schema must go through a property or an item")
      }
      defer { open.remove(schema.path) }
      guard open.count <= SchemaMerging.depthLimit else {
        throw EngineError(
          .argument,
          "JSON schema, \(schema.path): more than \(SchemaMerging.depthLimit) choices inside "
            + "choices, the limit")
      }
      return try choice(schema)
    }
    if schema.has("enum") || schema.has("const") { return try literals(schema) }
    var parts: [PatternGraph.Fragment] = []
    let types = try schema.generatedTypes()
    for type in SchemaType.allCases where types.contains(type) {
      parts.append(try typed(schema, type))
    }
    return parts.count == 1 ? parts[0] : try graph.alternation(parts)
  }

  private func isChoice(_ schema: Schema) throws(EngineError) -> Bool {
    ["$ref", "allOf", "anyOf", "oneOf", "if", "not"].contains(where: schema.has)
  }

  private mutating func choice(_ schema: Schema) throws(EngineError) -> PatternGraph.Fragment {
    if schema.has("$ref"), schema.assertions.count == 1 {
      return try value(try SchemaMerging(document).target(of: schema))
    }
    if schema.has("$ref") || schema.has("allOf") {
      return try value(try SchemaMerging(document).flattened(schema))
    }
    guard schema.has("anyOf") || schema.has("oneOf") else {
      return schema.has("if") ? try conditional(schema) : try negation(schema)
    }
    let keyword = schema.has("anyOf") ? "anyOf" : "oneOf"
    let branches = try schema.schemas(keyword)!
    let rest = schema.without([keyword], path: schema.path)
    if keyword == "oneOf" { try SchemaMerging(document).requireDisjoint(branches, of: schema) }
    var parts: [PatternGraph.Fragment] = []
    for branch in branches {
      let merged =
        rest.assertions.isEmpty
        ? branch : try SchemaMerging(document).merged(rest, branch, path: branch.path + "&")
      parts.append(try value(merged))
    }
    return try graph.alternation(parts)
  }

  private mutating func typed(
    _ schema: Schema, _ type: SchemaType
  ) throws(EngineError) -> PatternGraph.Fragment {
    switch type {
    case .null: return try graph.literal("null")
    case .boolean:
      return try graph.alternation([try graph.literal("true"), try graph.literal("false")])
    case .object: return try call("\(schema.path) (object)", .object(schema))
    case .array: return try call("\(schema.path) (array)", .array(schema))
    case .string:
      let isFree = ![
        "minLength", "maxLength", "pattern", "format", Schema.morePatterns,
        SchemaComplement.notPatterns, SchemaComplement.notValues,
      ].contains(where: schema.has)
      return isFree
        ? try anyString() : try call("\(schema.path) (string)", .string(schema))
    case .number, .integer:
      let isInteger = type == .integer
      let isFree = ![
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        SchemaComplement.notValues, SchemaComplement.fraction,
      ].contains(where: schema.has)
      let name = isFree ? "any \(type.rawValue)" : "\(schema.path) (\(type.rawValue))"
      return try call(name, .number(schema, isInteger: isInteger))
    }
  }

  /// A call of a rule, which is made when its name is first used.
  mutating func call(_ name: String, _ body: Body) throws(EngineError) -> PatternGraph.Fragment {
    if let known = ruleOf[name] { return try graph.call(known) }
    guard rules.count < Self.ruleLimit else {
      throw EngineError(
        .argument,
        "JSON schema, \(name): the schema needs more than \(Self.ruleLimit) rules, the limit; "
          + "recursion through allOf may make new schemas without end")
    }
    let rule = rules.count
    rules.append(("JSON schema, \(name)", nil))
    ruleOf[name] = rule
    pending.append((rule, body))
    return try graph.call(rule)
  }

  mutating func anyString() throws(EngineError) -> PatternGraph.Fragment {
    try call("any string", .anyString)
  }

  private mutating func build(_ body: Body) throws(EngineError) -> PatternGraph.Fragment {
    switch body {
    case .object(let schema): return try object(schema)
    case .array(let schema): return try array(schema)
    case .string(let schema): return try string(schema)
    case .number(let schema, let isInteger): return try number(schema, isInteger: isInteger)
    case .anyString: return try quoted(try graph.star(try anyCharacter()))
    case .space:
      // Never empty, as no rule is.
      let line = try graph.literal("\n")
      let indent = try graph.repetition(least: 0, most: 32) {
        (graph: inout PatternGraph) throws(EngineError) in
        try graph.scalar(ScalarSet([0x20...0x20, 0x09...0x09]), .plain)
      }
      return try graph.alternation([try graph.literal(" "), try graph.sequence([line, indent])])
    }
  }

  // MARK: Parts

  /// White space, if it is allowed at all.
  mutating func space() throws(EngineError) -> PatternGraph.Fragment {
    switch whitespace {
    case .compact: return try graph.empty()
    case .flexible: return try graph.optional(try call("white space", .space))
    }
  }

  /// A sign between parts, with space before it or after it.
  mutating func sign(_ text: String, spaceBefore: Bool = false) throws(EngineError)
    -> PatternGraph.Fragment
  {
    let literal = try graph.literal(text)
    let space = try space()
    return try graph.sequence(spaceBefore ? [space, literal] : [literal, space])
  }

  mutating func quoted(_ content: PatternGraph.Fragment) throws(EngineError)
    -> PatternGraph.Fragment
  {
    try graph.sequence([try graph.literal("\""), content, try graph.literal("\"")])
  }

  /// One of the values of `enum` or `const`.
  private mutating func literals(_ schema: Schema) throws(EngineError) -> PatternGraph.Fragment {
    var parts: [PatternGraph.Fragment] = []
    for value in try SchemaMerging.values(of: schema)! { parts.append(try literal(value)) }
    return try graph.alternation(parts)
  }

  mutating func literal(_ value: JSONText) throws(EngineError) -> PatternGraph.Fragment {
    switch value {
    case .null: return try graph.literal("null")
    case .flag(let flag): return try graph.literal(flag ? "true" : "false")
    case .number(let text): return try graph.literal(text)
    case .text(let text):
      return try quoted(try graph.literal(TextEncoding.json.bytes(of: text)))
    case .list(let values):
      var parts = [try sign("[")]
      for (i, value) in values.enumerated() {
        if i > 0 { parts.append(try sign(",")) }
        parts.append(try literal(value))
      }
      parts.append(try sign("]", spaceBefore: true))
      return try graph.sequence(parts)
    case .object(let members):
      var parts = [try sign("{")]
      for (i, member) in members.enumerated() {
        if i > 0 { parts.append(try sign(",")) }
        parts.append(try key(member.key))
        parts.append(try literal(member.value))
      }
      parts.append(try sign("}", spaceBefore: true))
      return try graph.sequence(parts)
    }
  }

  /// A member's name and its colon.
  mutating func key(_ name: String) throws(EngineError) -> PatternGraph.Fragment {
    let text = try quoted(try graph.literal(TextEncoding.json.bytes(of: name)))
    return try graph.sequence([text, try sign(":")])
  }
}
