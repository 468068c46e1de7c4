/// Strings by conditions: expressions that must match and expressions that must not.
struct StringConditions: Sendable {
  var required: [RegexSyntax] = []
  var forbidden: [RegexSyntax] = []

  static func literal(_ text: String) -> RegexSyntax {
    .sequence(text.unicodeScalars.map { .scalar(ScalarSet($0)) })
  }

  /// Whether a text meets them all.
  func accept(_ text: String, what: String) throws(EngineError) -> Bool {
    var graph = PatternGraph()
    return try AutomatonProduct.add(
      required + [Self.literal(text)], without: forbidden, to: &graph, what: what) != nil
  }
}

/// Members that an object may have beside those that it lists: names that meet conditions, and their
/// values.
struct OtherMembers {
  /// nil for any name.
  var names: StringConditions?
  var schema: Schema
}

/// `patternProperties` and `propertyNames`: what the names of members say about them.
struct MemberRules {
  private let patterns: [(source: String, syntax: RegexSyntax, schema: Schema)]
  private let names: StringConditions?
  private let document: JSONText
  private let schema: Schema

  /// The most patterns: members are told apart by the patterns that their names match.
  private static let patternLimit = 6

  /// nil for a schema that says nothing about names.
  init?(_ schema: Schema, _ document: JSONText) throws(EngineError) {
    self.schema = schema
    self.document = document
    var patterns: [(source: String, syntax: RegexSyntax, schema: Schema)] = []
    for member in try schema.members("patternProperties") ?? [] {
      patterns.append(
        (
          member.key,
          try RegexParser.parse(
            member.key, extent: .part, what: "JSON schema, \(schema.path), 'patternProperties'"),
          try Schema(member.value, path: "\(schema.path)/patternProperties/\(member.key)")
        ))
    }
    guard patterns.count <= Self.patternLimit else {
      throw schema.failure(
        "patternProperties",
        "\(patterns.count) patterns; at most \(Self.patternLimit) can be told apart")
    }
    self.patterns = patterns
    names = try schema.schema("propertyNames").map { stated throws(EngineError) in
      try Self.conditions(stated, document)
    }
    if patterns.isEmpty && names == nil { return nil }
  }

  var hasPatterns: Bool { !patterns.isEmpty }

  /// Whether a member may have a name at all.
  func allows(_ name: String) throws(EngineError) -> Bool {
    try names?.accept(name, what: "JSON schema, \(schema.path), 'propertyNames'") ?? true
  }

  /// What holds for a member of this name beside `own`; `own` itself where no pattern matches.
  func schema(of name: String, _ own: Schema?) throws(EngineError) -> Schema? {
    var parts = own.map { [$0] } ?? []
    for pattern in patterns {
      let condition = StringConditions(required: [pattern.syntax])
      if try condition.accept(name, what: "JSON schema, \(schema.path), 'patternProperties'") {
        parts.append(pattern.schema)
      }
    }
    return try merged(parts, name: name)
  }

  /// All members that are not listed: one group for every set of patterns that a name can match.
  /// `additional` is for names that match none; nil where there are no such members.
  func others(
    than listed: [String], additional: Schema?
  ) throws(EngineError) -> [OtherMembers] {
    var groups: [OtherMembers] = []
    for set in (additional == nil ? 1 : 0)..<(1 << patterns.count) {
      var conditions = names ?? StringConditions()
      var parts: [Schema] = []
      for (index, pattern) in patterns.enumerated() {
        if set >> index & 1 == 1 {
          conditions.required.append(pattern.syntax)
          parts.append(pattern.schema)
        } else {
          conditions.forbidden.append(pattern.syntax)
        }
      }
      conditions.forbidden += listed.map(StringConditions.literal)
      if set == 0 { parts = [additional!] }
      guard let whole = try merged(parts, name: "&\(set)"), !whole.isImpossible else { continue }
      groups.append(OtherMembers(names: conditions, schema: whole))
    }
    return groups
  }

  private func merged(_ parts: [Schema], name: String) throws(EngineError) -> Schema? {
    guard var whole = parts.first else { return nil }
    for part in parts.dropFirst() {
      whole = try SchemaMerging(document).merged(
        whole, part, path: "\(schema.path)/patternProperties/\(name)&")
    }
    return whole
  }

  /// What a schema says about a name, which is a string.
  private static func conditions(
    _ stated: Schema, _ document: JSONText
  ) throws(EngineError) -> StringConditions {
    var conditions = StringConditions()
    func nothing() -> StringConditions { .init(required: [.alternation([])]) }
    let schema = try SchemaMerging(document).flattened(stated)
    guard !schema.isImpossible else { return nothing() }
    try schema.checkKeywords()
    if let types = try schema.statedTypes(), !types.contains(.string) { return nothing() }
    if let values = try SchemaMerging.listedValues(of: schema) {
      var texts: [RegexSyntax] = []
      for case .text(let text) in values { texts.append(StringConditions.literal(text)) }
      conditions.required.append(.alternation(texts))
    }
    let supported: Set<String> = [
      "type", "enum", "const", "pattern", Schema.morePatterns, "minLength", "maxLength", "format",
    ]
    if let other = schema.assertions.first(where: { !supported.contains($0.key) }) {
      throw stated.failure(
        other.key,
        "is not supported for names; supported are enum, const, pattern, format, minLength and maxLength"
      )
    }
    let strings = try SchemaCompiler.conditions(of: schema)
    conditions.required += strings.required
    conditions.forbidden += strings.forbidden
    let least = try schema.count("minLength") ?? 0
    let most = try schema.count("maxLength")
    if least > 0 || most != nil {
      conditions.required.append(.repetition(.scalar(.all), least: least, most: most))
    }
    return conditions
  }
}

extension SchemaCompiler {
  /// A member that is not listed: its name, its colon and its value. nil where no name is left.
  mutating func otherMember(
    _ others: [OtherMembers], than listed: [String], path: String
  ) throws(EngineError) -> PatternGraph.Fragment? {
    var parts: [PatternGraph.Fragment] = []
    for other in others {
      let name: PatternGraph.Fragment
      if let conditions = other.names {
        guard
          let content = try AutomatonProduct.add(
            conditions.required, without: conditions.forbidden, to: &graph,
            what: "JSON schema, \(path), names of members")
        else { continue }
        name = try quoted(content)
      } else {
        name = try otherNames(than: listed)
      }
      parts.append(try graph.sequence([name, try sign(":"), try value(other.schema)]))
    }
    return parts.isEmpty ? nil : try graph.alternation(parts)
  }
}
