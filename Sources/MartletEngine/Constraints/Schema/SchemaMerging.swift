import Foundation

/// Schemas that hold together: what `$ref` points to, the parts of an `allOf`, a choice and what
/// stands beside it.
struct SchemaMerging {
  let document: JSONText
  /// The most references and parts inside each other.
  static let depthLimit = 64

  init(_ document: JSONText) { self.document = document }

  // MARK: References

  /// What a schema's `$ref` points to.
  func target(of schema: Schema) throws(EngineError) -> Schema {
    let reference = try schema.text("$ref")!
    guard reference == "#" || reference.hasPrefix("#/") else {
      throw schema.failure(
        "$ref",
        "'\(reference)' is not supported; references stay inside the schema, as '#/$defs/name'")
    }
    var value = document
    for part in reference.dropFirst(1).split(separator: "/", omittingEmptySubsequences: false)
      .dropFirst()
    {
      let name = (part.removingPercentEncoding ?? String(part))
        .replacing("~1", with: "/").replacing("~0", with: "~")
      let found: JSONText? =
        switch value {
        case .object(let members): members.first { $0.key == name }?.value
        case .list(let values): Int(name).flatMap { values.indices.contains($0) ? values[$0] : nil }
        default: nil
        }
      guard let found else {
        throw schema.failure("$ref", "'\(reference)' points to nothing: there is no '\(name)'")
      }
      value = found
    }
    return try Schema(value, path: reference)
  }

  /// One schema without `$ref` and `allOf`.
  func flattened(_ schema: Schema) throws(EngineError) -> Schema {
    var met: [String: Bool] = [:]
    return try flattened(schema, depth: 0, met: &met)
  }

  /// - Parameter met: what was referred to so far, and whether that is complete.
  private func flattened(
    _ schema: Schema, depth: Int, met: inout [String: Bool]
  ) throws(EngineError) -> Schema {
    guard schema.has("$ref") || schema.has("allOf") else { return schema }
    guard schema.path.utf8.count(where: { $0 == UInt8(ascii: "&") }) < Self.depthLimit else {
      throw EngineError(
        .argument,
        "JSON schema, \(schema.path.prefix(80))…: recursion through allOf makes new schemas without "
          + "end (more than \(Self.depthLimit) inside each other, the limit); refer to one that "
          + "has all parts")
    }
    guard depth < Self.depthLimit else { throw endless(schema) }
    try schema.checkKeywords()
    let path = schema.path + "&"
    var whole = schema.without(["$ref", "allOf"], path: path)
    let parts = try schema.schemas("allOf") ?? []
    for part in parts {
      whole = try combined(whole, try flattened(part, depth: depth + 1, met: &met), path: path)
    }
    // What was referred to and is complete adds nothing; what is still open has no end.
    if let reference = try schema.text("$ref"), met[reference] != true {
      guard met[reference] == nil else { throw endless(schema) }
      met[reference] = false
      let target = try flattened(try target(of: schema), depth: depth + 1, met: &met)
      met[reference] = true
      whole = try combined(target, whole, path: path)
    }
    return whole
  }

  private func endless(_ schema: Schema) -> EngineError {
    EngineError(
      .argument,
      "JSON schema, \(schema.path): the schema refers to itself through $ref and allOf with no text "
        + "between; a recursive schema must go through a property or an item")
  }

  /// Both schemas at once.
  func merged(_ a: Schema, _ b: Schema, path: String) throws(EngineError) -> Schema {
    try combined(try flattened(a), try flattened(b), path: path)
  }

  // MARK: Keywords of both

  private func combined(_ a: Schema, _ b: Schema, path: String) throws(EngineError) -> Schema {
    try a.checkKeywords()
    try b.checkKeywords()
    guard !a.isImpossible, !b.isImpossible else {
      return Schema(path: path, keywords: [], isImpossible: true)
    }
    if a.assertions.isEmpty { return b.without([], path: path) }
    if b.assertions.isEmpty { return a.without([], path: path) }
    var result = try properties(a, b)
    if let types = try commonTypes(a, b) {
      guard !types.isEmpty else { return Schema(path: path, keywords: [], isImpossible: true) }
      result.append(
        .init(key: "type", value: .list(types.map { .text($0.rawValue) })))
    }
    try requireMergeable(a, b)
    if a.has("prefixItems") && b.has("items") || b.has("prefixItems") && a.has("items") {
      throw b.failure(
        "items", "beside prefixItems of another part of the same allOf: not supported")
    }
    for keyword in a.assertions.map(\.key) + b.assertions.map(\.key).filter({ !a.has($0) }) {
      guard !Self.mergedApart.contains(keyword) else { continue }
      result.append(.init(key: keyword, value: try both(keyword, a, b)))
    }
    result += try patterns(a, b)
    if let values = try commonValues(a, b) {
      result.append(.init(key: "enum", value: .list(values)))
      if values.isEmpty { return Schema(path: path, keywords: [], isImpossible: true) }
    }
    return Schema(path: path, keywords: result)
  }

  /// Throws for keywords whose parts speak of each other and stand in both schemas.
  private func requireMergeable(_ a: Schema, _ b: Schema) throws(EngineError) {
    let conditional = ["if", "then", "else"]
    if conditional.contains(where: a.has), let keyword = conditional.first(where: b.has) {
      throw b.failure(
        keyword, "two conditions for one place (the other at \(a.path)): not supported; use anyOf")
    }
    for (one, other) in [(a, b), (b, a)] where one.has("additionalProperties") {
      let names = ["properties", "patternProperties"]
      guard one.has("patternProperties") || other.has("patternProperties"),
        names.contains(where: other.has)
      else { continue }
      throw one.failure(
        "additionalProperties",
        "beside patternProperties or properties of another part of the same place (\(other.path)): "
          + "not supported; write them in one schema")
    }
  }

  /// A keyword that one or both have, where both may be said at once.
  private func both(
    _ keyword: String, _ a: Schema, _ b: Schema
  ) throws(EngineError) -> JSONText {
    guard let left = a[keyword] else { return b[keyword]! }
    guard let right = b[keyword] else { return left }
    if left == right { return left }
    switch (keyword, left, right) {
    case ("required", .list(let x), .list(let y)):
      return .list(x + y.filter { !x.contains($0) })
    case ("items", _, _), ("propertyNames", _, _):
      return Self.together(left, right)
    case ("not", _, _):
      return .object([.init(key: "anyOf", value: .list([left, right]))])
    case ("uniqueItems", .flag(let x), .flag(let y)): return .flag(x || y)
    case (SchemaComplement.notValues, .list(let x), .list(let y)),
      (SchemaComplement.notPatterns, .list(let x), .list(let y)):
      return .list(x + y.filter { !x.contains($0) })
    case ("patternProperties", .object(let x), .object(let y)):
      let shared = x.map { member in
        let other = y.first { $0.key == member.key }?.value
        return JSONText.Member(
          key: member.key, value: other.map { Self.together(member.value, $0) } ?? member.value)
      }
      return .object(shared + y.filter { member in !x.contains { $0.key == member.key } })
    case ("minItems", .number(let x), .number(let y)),
      ("minProperties", .number(let x), .number(let y)),
      ("minLength", .number(let x), .number(let y)),
      ("minimum", .number(let x), .number(let y)),
      ("exclusiveMinimum", .number(let x), .number(let y)):
      return Self.isLess(x, y) ? right : left
    case ("maxItems", .number(let x), .number(let y)),
      ("maxProperties", .number(let x), .number(let y)),
      ("maxLength", .number(let x), .number(let y)),
      ("maximum", .number(let x), .number(let y)),
      ("exclusiveMaximum", .number(let x), .number(let y)):
      return Self.isLess(x, y) ? left : right
    default:
      throw b.failure(
        keyword, "two different values for one place (the other at \(a.path)) cannot be merged")
    }
  }

  private static let mergedApart: Set<String> = [
    "properties", "additionalProperties", "type", "enum", "const", "pattern", Schema.morePatterns,
  ]

  /// All patterns of both: the first as `pattern`, the others beside it.
  private func patterns(_ a: Schema, _ b: Schema) throws(EngineError) -> [JSONText.Member] {
    var all: [String] = []
    for schema in [a, b] {
      let stated = try schema.text("pattern").map { [$0] } ?? []
      for pattern in try stated + (schema.texts(Schema.morePatterns) ?? [])
      where !all.contains(pattern) {
        all.append(pattern)
      }
    }
    guard let first = all.first else { return [] }
    let more = JSONText.list(all.dropFirst().map(JSONText.text))
    return [.init(key: "pattern", value: .text(first))]
      + (all.count > 1 ? [.init(key: Schema.morePatterns, value: more)] : [])
  }

  private static func isLess(_ x: String, _ y: String) -> Bool {
    guard let left = DecimalNumber(x), let right = DecimalNumber(y) else { return false }
    return left < right
  }

  private static func together(_ a: JSONText, _ b: JSONText) -> JSONText {
    .object([.init(key: "allOf", value: .list([a, b]))])
  }

  /// Properties of both. Where one says what other members must be, that holds for those that only
  /// the other lists.
  private func properties(_ a: Schema, _ b: Schema) throws(EngineError) -> [JSONText.Member] {
    let (left, right) = (try a.members("properties"), try b.members("properties"))
    let (leftOthers, rightOthers) = (a["additionalProperties"], b["additionalProperties"])
    var result: [JSONText.Member] = []
    if left != nil || right != nil {
      var members: [JSONText.Member] = []
      for member in left ?? [] {
        let other = right?.first { $0.key == member.key }?.value ?? rightOthers
        members.append(
          .init(
            key: member.key, value: other.map { Self.together(member.value, $0) } ?? member.value))
      }
      for member in right ?? [] where !(left ?? []).contains(where: { $0.key == member.key }) {
        members.append(
          .init(
            key: member.key,
            value: leftOthers.map { Self.together($0, member.value) } ?? member.value))
      }
      result.append(.init(key: "properties", value: .object(members)))
    }
    switch (leftOthers, rightOthers) {
    case (let left?, let right?):
      result.append(.init(key: "additionalProperties", value: Self.together(left, right)))
    case (let one?, nil), (nil, let one?):
      result.append(.init(key: "additionalProperties", value: one))
    case (nil, nil): break
    }
    return result
  }

  private func commonTypes(_ a: Schema, _ b: Schema) throws(EngineError) -> [SchemaType]? {
    guard let left = try a.statedTypes() else { return try b.statedTypes()?.sorted() }
    guard let right = try b.statedTypes() else { return left.sorted() }
    var common = left.intersection(right)
    if left.contains(.number), right.contains(.integer) { common.insert(.integer) }
    if right.contains(.number), left.contains(.integer) { common.insert(.integer) }
    return common.sorted()
  }

  private func commonValues(_ a: Schema, _ b: Schema) throws(EngineError) -> [JSONText]? {
    guard let left = try Self.listedValues(of: a) else { return try Self.listedValues(of: b) }
    guard let right = try Self.listedValues(of: b) else { return left }
    return left.filter { value in right.contains { value.isSameValue(as: $0) } }
  }

  // MARK: Listed values

  static func listedValues(of schema: Schema) throws(EngineError) -> [JSONText]? {
    let listed = try schema.list("enum")
    guard let constant = schema["const"] else { return listed }
    guard let listed else { return [constant] }
    return listed.contains { constant.isSameValue(as: $0) } ? [constant] : []
  }

  /// The values of `enum` or `const` that have the type that is asked for; nil without either.
  static func values(of schema: Schema) throws(EngineError) -> [JSONText]? {
    guard let listed = try listedValues(of: schema) else { return nil }
    let excluded = try schema.list(SchemaComplement.notValues) ?? []
    let strings = try SchemaCompiler.conditions(of: schema)
    let what = "JSON schema, \(schema.path)"
    let known: Set = [
      "enum", "const", "type", "pattern", Schema.morePatterns, SchemaComplement.notValues,
      SchemaComplement.notPatterns, SchemaComplement.fraction,
    ]
    if let other = schema.assertions.first(where: { !known.contains($0.key) }) {
      throw schema.failure(other.key, "beside enum or const: not supported; list what is meant")
    }
    let types = try schema.statedTypes()
    var values: [JSONText] = []
    for value in listed where !excluded.contains(where: { value.isSameValue(as: $0) }) {
      let type = SchemaType.of(value)
      guard
        types.map({ $0.contains(type) || (type == .integer && $0.contains(.number)) }) ?? true
      else { continue }
      if type == .integer, schema.has(SchemaComplement.fraction) { continue }
      if case .text(let text) = value, try !strings.accept(text, what: what) { continue }
      values.append(value)
    }
    return values
  }
}

/// Whether the branches of a `oneOf` exclude each other.
extension SchemaMerging {
  /// Throws unless no value can be valid by two branches: then `oneOf` says the same as `anyOf`.
  func requireDisjoint(_ branches: [Schema], of schema: Schema) throws(EngineError) {
    for (i, a) in branches.enumerated() {
      for b in branches[(i + 1)...] where try !areDisjoint(a, b, depth: 0) {
        throw schema.failure(
          "oneOf",
          "\(a.path) and \(b.path) may both hold for a value, and exactly one must; use anyOf, or "
            + "tell them apart by type or by a required property with different constants")
      }
    }
  }

  private func areDisjoint(_ a: Schema, _ b: Schema, depth: Int) throws(EngineError) -> Bool {
    guard depth < 8 else { return false }
    let (left, right) = (try flattened(a), try flattened(b))
    if left.isImpossible || right.isImpossible { return true }
    let (x, y) = (try Self.values(of: left), try Self.values(of: right))
    if let x, let y { return !x.contains { value in y.contains { value.isSameValue(as: $0) } } }
    let common = try Self.validTypes(left, x).intersection(try Self.validTypes(right, y))
    if common.isEmpty { return true }
    guard common == [.object] else { return false }
    let shared = Set(try left.texts("required") ?? [])
      .intersection(try right.texts("required") ?? [])
    for name in shared.sorted() {
      guard let p = try property(left, name), let q = try property(right, name) else { continue }
      if try areDisjoint(p, q, depth: depth + 1) { return true }
    }
    return false
  }

  private func property(_ schema: Schema, _ name: String) throws(EngineError) -> Schema? {
    guard let value = try schema.members("properties")?.first(where: { $0.key == name })?.value
    else { return nil }
    return try Schema(value, path: "\(schema.path)/properties/\(name)")
  }

  /// Types that a value may have and be valid, integers and other numbers apart.
  private static func validTypes(
    _ schema: Schema, _ values: [JSONText]?
  ) throws(EngineError) -> Set<SchemaType> {
    if let values { return Set(values.map(SchemaType.of)) }
    guard let stated = try schema.statedTypes() else { return Set(SchemaType.allCases) }
    return stated.contains(.number) ? stated.union([.integer]) : stated
  }
}

extension SchemaType: Comparable {
  static func < (a: SchemaType, b: SchemaType) -> Bool {
    allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)!
  }
}

extension JSONText {
  /// Whether two texts are the same value: numbers by size, members in any order.
  func isSameValue(as other: JSONText) -> Bool {
    switch (self, other) {
    case (.number(let a), .number(let b)):
      guard let x = DecimalNumber(a), let y = DecimalNumber(b) else { return a == b }
      return x == y
    case (.list(let a), .list(let b)):
      return a.count == b.count && zip(a, b).allSatisfy { $0.isSameValue(as: $1) }
    case (.object(let a), .object(let b)):
      return a.count == b.count
        && a.allSatisfy { member in
          b.contains { $0.key == member.key && $0.value.isSameValue(as: member.value) }
        }
    default: return self == other
    }
  }
}
