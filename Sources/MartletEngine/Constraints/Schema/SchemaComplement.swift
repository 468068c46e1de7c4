/// What is not valid by a schema, as schemas of what is: `not`, and `if` where it does not hold.
///
/// A value is not valid when it breaks one keyword, so the complement is a choice: values of the types
/// that are left out, and for each keyword values of its type that break it. Keywords whose violation
/// no automaton of reasonable size says are errors.
struct SchemaComplement {
  let document: JSONText
  private var merging: SchemaMerging { SchemaMerging(document) }

  /// The most schemas that a complement is made of, and complements inside each other.
  private static let choiceLimit = 64
  private static let depthLimit = 16

  /// Strings and numbers that are not valid, patterns that must not match, and whether a number must
  /// not be whole: what complements say that no keyword does.
  static let notValues = "&notValues"
  static let notPatterns = "&notPatterns"
  static let fraction = "&fraction"
  static let keywords: Set<String> = [notValues, notPatterns, fraction]

  init(_ document: JSONText) { self.document = document }

  /// Schemas one of which is valid for every value that is not valid by `schema`; none where all are.
  func alternatives(to schema: Schema) throws(EngineError) -> [JSONText] {
    let found = try complement(schema, depth: 0)
    guard found.count <= Self.choiceLimit else {
      throw EngineError(
        .argument,
        "JSON schema, \(schema.path): what is not valid by it is a choice of \(found.count) schemas, more "
          + "than the limit, \(Self.choiceLimit); negate less at once")
    }
    return found
  }

  /// `references` are those whose complement this one is a part of.
  private func complement(
    _ stated: Schema, depth: Int, within references: Set<String> = []
  ) throws(EngineError) -> [JSONText] {
    var references = references
    if case .text(let reference)? = stated["$ref"], !references.insert(reference).inserted {
      throw EngineError(
        .argument,
        "JSON schema, \(stated.path): \(reference) refers to itself here, and a recursive schema cannot "
          + "be negated; say what is meant without not and if")
    }
    guard depth < Self.depthLimit else {
      throw EngineError(
        .argument,
        "JSON schema, \(stated.path): negated through more than \(Self.depthLimit) schemas, the limit; "
          + "a recursive schema cannot be negated")
    }
    if stated.isImpossible { return [.object([])] }
    let schema = try merging.flattened(stated)
    if schema.isImpossible { return [.object([])] }
    try schema.checkKeywords()
    var result: [JSONText] = []
    for keyword in ["anyOf", "oneOf"] {
      guard let branches = try schema.schemas(keyword) else { continue }
      if keyword == "oneOf" { try merging.requireDisjoint(branches, of: schema) }
      var all: [JSONText] = [.object([])]
      for branch in branches {
        let one = try complement(branch, depth: depth + 1, within: references)
        guard all.count * one.count <= Self.choiceLimit else {
          throw schema.failure(keyword, "too many choices to be negated; list what is meant")
        }
        all = all.flatMap { left in one.map { Self.both(left, $0) } }
      }
      result += all
    }
    if let negated = schema["not"] { result.append(negated) }
    if let condition = schema["if"] {
      let opposite = try complement(
        try schema.schema("if")!, depth: depth + 1, within: references)
      if let then = try schema.schema("then") {
        result += try complement(then, depth: depth + 1, within: references).map {
          Self.both(condition, $0)
        }
      }
      if let other = try schema.schema("else") {
        for broken in try complement(other, depth: depth + 1, within: references) {
          result += opposite.map { Self.both($0, broken) }
        }
      }
    }
    let types = try schema.statedTypes()
    if let types { result += Self.others(than: types) }
    if let values = try SchemaMerging.listedValues(of: schema) {
      result += try excluding(values, types, schema)
    }
    for member in schema.assertions {
      result += try breaking(member, types, schema, depth: depth, within: references)
    }
    return result
  }

  /// Values of types that are not among `types`.
  private static func others(than types: Set<SchemaType>) -> [JSONText] {
    var left: [SchemaType] = [.object, .array, .string, .boolean, .null].filter {
      !types.contains($0)
    }
    var result: [JSONText] = []
    if !types.contains(.number) {
      if types.contains(.integer) {
        result.append(schema(.number, fraction, .flag(true)))
      } else {
        left.append(.number)
      }
    }
    if !left.isEmpty {
      result.append(
        .object([.init(key: "type", value: .list(left.map { .text($0.rawValue) }))]))
    }
    return result
  }

  /// Values of `types` that are none of `values`.
  private func excluding(
    _ values: [JSONText], _ types: Set<SchemaType>?, _ schema: Schema
  ) throws(EngineError) -> [JSONText] {
    var result: [JSONText] = []
    func has(_ type: SchemaType) -> Bool { types?.contains(type) ?? true }
    var (texts, numbers): ([JSONText], [JSONText]) = ([], [])
    var flags: Set<Bool> = [true, false]
    var isNullLeft = true
    for value in values {
      switch value {
      case .text: texts.append(value)
      case .number: numbers.append(value)
      case .flag(let flag): flags.remove(flag)
      case .null: isNullLeft = false
      case .list, .object:
        throw schema.failure(
          schema.has("enum") ? "enum" : "const",
          "\(value.kindName) cannot be negated; negate strings, numbers, booleans and null, or types"
        )
      }
    }
    if has(.string) { result.append(Self.schema(.string, Self.notValues, .list(texts))) }
    if has(.number) || has(.integer) {
      result.append(
        Self.schema(has(.number) ? .number : .integer, Self.notValues, .list(numbers)))
    }
    if has(.boolean), !flags.isEmpty {
      result.append(
        Self.schema(
          .boolean, "enum", .list(flags.sorted { $0 && !$1 }.map(JSONText.flag))))
    }
    if has(.null), isNullLeft { result.append(Self.typed(.null)) }
    for type in [SchemaType.object, .array] where has(type) { result.append(Self.typed(type)) }
    return result
  }

  /// Values of a keyword's type, if that is among `types`, that break it.
  private func breaking(
    _ member: JSONText.Member, _ types: Set<SchemaType>?, _ schema: Schema, depth: Int,
    within references: Set<String>
  ) throws(EngineError) -> [JSONText] {
    let keyword = member.key
    func of(_ type: SchemaType, _ opposite: String, _ value: JSONText) -> [JSONText] {
      var type = type
      if let types, !types.contains(type) {
        guard type == .number, types.contains(.integer) else { return [] }
        type = .integer
      }
      return [Self.schema(type, opposite, value)]
    }
    /// One more or less than a count; nil below 0.
    func count(_ step: Int) throws(EngineError) -> JSONText? {
      let next = try schema.count(keyword)! + step
      return next < 0 ? nil : .number(String(next))
    }
    switch keyword {
    case "pattern":
      return of(.string, Self.notPatterns, .list([.text(try schema.text(keyword)!)]))
    case Schema.morePatterns:
      return try schema.texts(keyword)!.flatMap {
        of(.string, Self.notPatterns, .list([.text($0)]))
      }
    case Self.notPatterns:
      return try schema.texts(keyword)!.flatMap { of(.string, "pattern", .text($0)) }
    case Self.notValues: return [.object([.init(key: "enum", value: member.value)])]
    case Self.fraction: return of(.integer, "type", .text("integer"))
    case "minLength": return try count(-1).map { of(.string, "maxLength", $0) } ?? []
    case "maxLength": return try count(1).map { of(.string, "minLength", $0) } ?? []
    case "minItems": return try count(-1).map { of(.array, "maxItems", $0) } ?? []
    case "maxItems": return try count(1).map { of(.array, "minItems", $0) } ?? []
    case "minProperties": return try count(-1).map { of(.object, "maxProperties", $0) } ?? []
    case "maxProperties": return try count(1).map { of(.object, "minProperties", $0) } ?? []
    case "minimum": return of(.number, "exclusiveMaximum", member.value)
    case "maximum": return of(.number, "exclusiveMinimum", member.value)
    case "exclusiveMinimum": return of(.number, "maximum", member.value)
    case "exclusiveMaximum": return of(.number, "minimum", member.value)
    case "required":
      return try schema.texts(keyword)!.flatMap {
        of(.object, "properties", .object([.init(key: $0, value: .flag(false))]))
      }
    case "properties":
      return try breakingProperties(types, schema, depth: depth, within: references)
    case "type", "enum", "const", "anyOf", "oneOf", "not", "if", "then", "else": return []
    default:
      if case .flag(false) = member.value, keyword == "uniqueItems" { return [] }
      throw schema.failure(
        keyword,
        "cannot be negated, by not or by if; say what is meant with type, enum, const, pattern, "
          + "lengths, bounds, required or properties")
    }
  }

  /// Objects one of whose listed members is there and not valid.
  private func breakingProperties(
    _ types: Set<SchemaType>?, _ schema: Schema, depth: Int, within references: Set<String>
  ) throws(EngineError) -> [JSONText] {
    guard types?.contains(.object) ?? true else { return [] }
    var result: [JSONText] = []
    for member in try schema.members("properties")! {
      let inner = try Schema(member.value, path: "\(schema.path)/properties/\(member.key)")
      let broken = try complement(inner, depth: depth + 1, within: references)
      guard !broken.isEmpty else { continue }
      let value = JSONText.object([.init(key: "anyOf", value: .list(broken))])
      result.append(
        .object([
          .init(key: "type", value: .text("object")),
          .init(key: "required", value: .list([.text(member.key)])),
          .init(key: "properties", value: .object([.init(key: member.key, value: value)])),
        ]))
    }
    return result
  }

  // MARK: Making schemas

  private static func typed(_ type: SchemaType) -> JSONText {
    .object([.init(key: "type", value: .text(type.rawValue))])
  }

  private static func schema(_ type: SchemaType, _ keyword: String, _ value: JSONText) -> JSONText {
    guard keyword != "type" else { return typed(type) }
    return .object([
      .init(key: "type", value: .text(type.rawValue)), .init(key: keyword, value: value),
    ])
  }

  private static func both(_ a: JSONText, _ b: JSONText) -> JSONText {
    if case .object([]) = a { return b }
    if case .object([]) = b { return a }
    return .object([.init(key: "allOf", value: .list([a, b]))])
  }
}

/// `not`, and `if` with `then` and `else`, as choices.
extension SchemaCompiler {
  /// A value that is valid by a schema with `if`: what it asks for with `then`, or what it does not ask
  /// for with `else`.
  mutating func conditional(_ schema: Schema) throws(EngineError) -> PatternGraph.Fragment {
    let merging = SchemaMerging(document)
    let rest = schema.without(["if", "then", "else"], path: schema.path + "&")
    let condition = try schema.schema("if")!
    guard schema.has("then") || schema.has("else") else { return try value(rest) }
    var parts: [PatternGraph.Fragment] = []
    var held = try merging.merged(rest, condition, path: "\(schema.path)/then&")
    if let then = try schema.schema("then") {
      held = try merging.merged(held, then, path: "\(schema.path)/then&&")
    }
    parts.append(try value(held))
    let opposites = try SchemaComplement(document).alternatives(to: condition)
    for (index, opposite) in opposites.enumerated() {
      let path = "\(schema.path)/else/\(index)&"
      var failed = try merging.merged(rest, try Schema(opposite, path: path), path: path)
      if let other = try schema.schema("else") {
        failed = try merging.merged(failed, other, path: path + "&")
      }
      parts.append(try value(failed))
    }
    return try graph.alternation(parts)
  }

  /// A value that is valid by a schema with `not`.
  mutating func negation(_ schema: Schema) throws(EngineError) -> PatternGraph.Fragment {
    let rest = schema.without(["not"], path: schema.path)
    let opposites = try SchemaComplement(document).alternatives(to: try schema.schema("not")!)
    var parts: [PatternGraph.Fragment] = []
    for (index, opposite) in opposites.enumerated() {
      let path = "\(schema.path)/not/\(index)&"
      parts.append(
        try value(
          try SchemaMerging(document).merged(
            rest, try Schema(opposite, path: path), path: path)))
    }
    return try graph.alternation(parts)
  }
}
