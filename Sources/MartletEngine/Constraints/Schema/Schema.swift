/// One schema: its keywords and its place in the document.
struct Schema: Sendable {
  /// A JSON pointer as in `$ref`; parts that are made by merging end in `&`.
  let path: String
  /// nil for the schema `true`, or the schema `false` with `isImpossible`.
  let keywords: [JSONText.Member]
  let isImpossible: Bool

  init(path: String, keywords: [JSONText.Member], isImpossible: Bool = false) {
    self.path = path
    self.keywords = keywords
    self.isImpossible = isImpossible
  }

  init(_ value: JSONText, path: String) throws(EngineError) {
    switch value {
    case .flag(let allows): self.init(path: path, keywords: [], isImpossible: !allows)
    case .object(let members): self.init(path: path, keywords: members)
    default:
      throw EngineError(
        .argument,
        "JSON schema, \(path): a schema is an object or a boolean, not \(value.kindName)")
    }
  }

  subscript(_ keyword: String) -> JSONText? {
    keywords.first { $0.key == keyword }?.value
  }

  func has(_ keyword: String) -> Bool { keywords.contains { $0.key == keyword } }

  func failure(_ keyword: String, _ problem: String) -> EngineError {
    EngineError(.argument, "JSON schema, \(path), '\(keyword)': \(problem)")
  }

  func without(_ dropped: Set<String>, path: String) -> Schema {
    Schema(
      path: path, keywords: keywords.filter { !dropped.contains($0.key) },
      isImpossible: isImpossible)
  }

  /// The keywords that say what is valid.
  var assertions: [JSONText.Member] { keywords.filter { !Self.isAnnotation($0.key) } }

  // MARK: Reading keywords

  func text(_ keyword: String) throws(EngineError) -> String? {
    switch self[keyword] {
    case nil: return nil
    case .text(let text): return text
    case let other?: throw failure(keyword, "must be a string, not \(other.kindName)")
    }
  }

  func list(_ keyword: String) throws(EngineError) -> [JSONText]? {
    switch self[keyword] {
    case nil: return nil
    case .list(let list): return list
    case let other?: throw failure(keyword, "must be a list, not \(other.kindName)")
    }
  }

  func members(_ keyword: String) throws(EngineError) -> [JSONText.Member]? {
    switch self[keyword] {
    case nil: return nil
    case .object(let members): return members
    case let other?: throw failure(keyword, "must be an object, not \(other.kindName)")
    }
  }

  func texts(_ keyword: String) throws(EngineError) -> [String]? {
    guard let values = try list(keyword) else { return nil }
    var texts: [String] = []
    for value in values {
      guard case .text(let text) = value else {
        throw failure(keyword, "must hold strings, not \(value.kindName)")
      }
      texts.append(text)
    }
    return texts
  }

  /// A count of 0 or more.
  func count(_ keyword: String) throws(EngineError) -> Int? {
    guard let value = self[keyword] else { return nil }
    guard case .number(let text) = value, let count = Int(text), count >= 0 else {
      throw failure(keyword, "must be a whole number of 0 or more")
    }
    return count
  }

  func schema(_ keyword: String) throws(EngineError) -> Schema? {
    try self[keyword].map { value throws(EngineError) in
      try Schema(value, path: "\(path)/\(keyword)")
    }
  }

  func schemas(_ keyword: String) throws(EngineError) -> [Schema]? {
    guard let values = try list(keyword) else { return nil }
    guard !values.isEmpty || keyword == "prefixItems" else {
      throw failure(keyword, "must not be empty")
    }
    var schemas: [Schema] = []
    for (i, value) in values.enumerated() {
      schemas.append(try Schema(value, path: "\(path)/\(keyword)/\(i)"))
    }
    return schemas
  }

  // MARK: Keywords

  static let supported: Set<String> = [
    "type", "enum", "const", "properties", "required", "additionalProperties", "items",
    "prefixItems", "minItems", "maxItems", "minLength", "maxLength", "pattern", "format", "minimum",
    "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minProperties",
    "maxProperties", "anyOf", "oneOf", "allOf", "$ref", "$defs",
    "definitions", "not", "if", "then", "else", "patternProperties", "propertyNames", "uniqueItems",
    Self.morePatterns, SchemaComplement.notValues, SchemaComplement.notPatterns,
    SchemaComplement.fraction,
  ]
  /// Patterns that merging adds to `pattern`.
  static let morePatterns = "&patterns"

  private static let annotations: Set<String> = [
    "title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly",
    "$schema", "$id", "$comment", "contentMediaType", "contentEncoding",
  ]

  static func isAnnotation(_ keyword: String) -> Bool {
    annotations.contains(keyword) || keyword.hasPrefix("x-") || keyword == "$defs"
      || keyword == "definitions"
  }

  /// Throws for a keyword that would have to be ignored.
  func checkKeywords() throws(EngineError) {
    for member in keywords {
      let keyword = member.key
      guard !Self.isAnnotation(keyword), !Self.supported.contains(keyword) else { continue }
      // Keywords that ask for nothing.
      switch (keyword, member.value) {
      case ("unevaluatedProperties", .flag(true)), ("unevaluatedItems", .flag(true)): continue
      default:
        throw failure(
          keyword, "this keyword is not supported; docs/constraints.md lists those that are")
      }
    }
  }
}

/// The types of JSON Schema. An integer is a number too.
enum SchemaType: String, CaseIterable, Sendable {
  case object, array, string, number, integer, boolean, null

  static func of(_ value: JSONText) -> SchemaType {
    switch value {
    case .null: .null
    case .flag: .boolean
    case .number(let text): DecimalNumber(text).map(\.isInteger) ?? false ? .integer : .number
    case .text: .string
    case .list: .array
    case .object: .object
    }
  }
}

extension Schema {
  /// The types that `type` names; nil where it does not say.
  func statedTypes() throws(EngineError) -> Set<SchemaType>? {
    guard let value = self["type"] else { return nil }
    let names: [String]
    if case .text(let name) = value { names = [name] } else { names = try texts("type") ?? [] }
    var types: Set<SchemaType> = []
    for name in names {
      guard let type = SchemaType(rawValue: name) else {
        throw failure(
          "type",
          "'\(name)' is not one of " + SchemaType.allCases.map(\.rawValue).joined(separator: ", "))
      }
      types.insert(type)
    }
    guard !names.isEmpty else { throw failure("type", "must name a type") }
    return types.contains(.number) ? types.subtracting([.integer]) : types
  }

  /// The types to generate: the stated ones, else those that the other keywords speak of (a schema
  /// with `properties` means an object), else all.
  func generatedTypes() throws(EngineError) -> Set<SchemaType> {
    if let stated = try statedTypes() { return stated }
    var types: Set<SchemaType> = []
    for member in assertions {
      switch member.key {
      case "properties", "required", "additionalProperties", "minProperties", "maxProperties",
        "patternProperties", "propertyNames":
        types.insert(.object)
      case "items", "prefixItems", "minItems", "maxItems", "uniqueItems": types.insert(.array)
      case "minLength", "maxLength", "pattern", "format", Self.morePatterns: types.insert(.string)
      case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
        types.insert(.number)
      default: break
      }
    }
    return types.isEmpty ? Set(SchemaType.allCases).subtracting([.integer]) : types
  }
}
