import Foundation

/// Any JSON value, for reading files whose every field is to be checked by name.
package enum JSONValue: Codable, Equatable, Sendable {
  case null
  case flag(Bool)
  case integer(Int64)
  case number(Double)
  case text(String)
  case list([JSONValue])
  case object([String: JSONValue])

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .flag(value)
    } else if let value = try? container.decode(Int64.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .text(value)
    } else if let value = try? container.decode([JSONValue].self) {
      self = .list(value)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .flag(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .text(let value): try container.encode(value)
    case .list(let value): try container.encode(value)
    case .object(let value): try container.encode(value)
    }
  }

  package var kindName: String {
    switch self {
    case .null: "null"
    case .flag: "a boolean"
    case .integer: "an integer"
    case .number: "a number"
    case .text: "a string"
    case .list: "a list"
    case .object: "an object"
    }
  }
}

/// Reads the fields of one JSON object strictly: every error names the file and the field, and a
/// field that nobody asked for is an error.
package struct FieldReader {
  package let file: String
  /// Where the object stands in the file, `components[0]`; empty for the whole file.
  package let path: String
  private var fields: [String: JSONValue]

  package init(_ value: JSONValue, file: String, path: String = "") throws(ScalingError) {
    guard case .object(let fields) = value else {
      let place = path.isEmpty ? "the file" : "field '\(path)'"
      throw ScalingError(.manifest, "\(file): \(place) must be an object, not \(value.kindName)")
    }
    self.file = file
    self.path = path
    self.fields = fields
  }

  package func failure(_ field: String, _ problem: String) -> ScalingError {
    ScalingError(.manifest, "\(file): field '\(name(field))' \(problem)")
  }

  package mutating func text(_ field: String) throws(ScalingError) -> String {
    guard let value = try optionalText(field) else { throw failure(field, "is missing") }
    return value
  }

  package mutating func optionalText(_ field: String) throws(ScalingError) -> String? {
    switch fields.removeValue(forKey: field) {
    case nil, .null: return nil
    case .text(let text):
      if text.contains("\0") { throw failure(field, "must not contain a NUL character") }
      return text
    case let value?: throw failure(field, "must be a string, not \(value.kindName)")
    }
  }

  package mutating func integer(
    _ field: String, in range: ClosedRange<Int64>
  ) throws(ScalingError) -> Int64 {
    switch fields.removeValue(forKey: field) {
    case nil, .null: throw failure(field, "is missing")
    case .integer(let value) where range.contains(value): return value
    case .integer(let value):
      throw failure(
        field, "is \(value), outside \(range.lowerBound)...\(range.upperBound)")
    case let value?: throw failure(field, "must be an integer, not \(value.kindName)")
    }
  }

  package mutating func optionalNumber(_ field: String) throws(ScalingError) -> Double? {
    switch fields.removeValue(forKey: field) {
    case nil, .null: return nil
    case .integer(let value): return Double(value)
    case .number(let value): return value
    case let value?: throw failure(field, "must be a number, not \(value.kindName)")
    }
  }

  package mutating func object(_ field: String) throws(ScalingError) -> FieldReader {
    guard let value = fields.removeValue(forKey: field) else { throw failure(field, "is missing") }
    return try FieldReader(value, file: file, path: name(field))
  }

  /// A list of objects; an absent list is empty.
  package mutating func objects(_ field: String) throws(ScalingError) -> [FieldReader] {
    var readers: [FieldReader] = []
    for (index, value) in try list(field).enumerated() {
      readers.append(try FieldReader(value, file: file, path: "\(name(field))[\(index)]"))
    }
    return readers
  }

  /// A list of strings; an absent list is empty.
  package mutating func texts(_ field: String) throws(ScalingError) -> [String] {
    var texts: [String] = []
    for (index, value) in try list(field).enumerated() {
      guard case .text(let text) = value else {
        throw failure("\(field)[\(index)]", "must be a string, not \(value.kindName)")
      }
      texts.append(text)
    }
    return texts
  }

  /// A value that is written as text wherever it is used: a string, number or boolean.
  package mutating func scalar(_ field: String) throws(ScalingError) -> String? {
    switch fields.removeValue(forKey: field) {
    case nil, .null: return nil
    case .text(let value): return value
    case .integer(let value): return String(value)
    case .number(let value): return "\(value)"
    case .flag(let value): return value ? "true" : "false"
    case let value?:
      throw failure(field, "must be a string, number or boolean, not \(value.kindName)")
    }
  }

  /// A whole number, if the field is there.
  package mutating func optionalInteger(
    _ field: String, in range: ClosedRange<Int64>
  ) throws(ScalingError) -> Int64? {
    switch fields[field] {
    case nil, .null:
      fields[field] = nil
      return nil
    default: return try integer(field, in: range)
    }
  }

  /// A boolean; an absent one is false.
  package mutating func flag(_ field: String) throws(ScalingError) -> Bool {
    switch fields.removeValue(forKey: field) {
    case nil, .null: return false
    case .flag(let value): return value
    case let value?: throw failure(field, "must be true or false, not \(value.kindName)")
    }
  }

  /// A list of strings, or one string for a list of one.
  package mutating func textOrTexts(_ field: String) throws(ScalingError) -> [String] {
    guard case .text(let text)? = fields[field] else { return try texts(field) }
    fields[field] = nil
    return [text]
  }

  /// Names and values written as `name=value`: a list of such texts, or an object of strings, numbers
  /// and booleans, sorted by name.
  package mutating func assignments(_ field: String) throws(ScalingError) -> [String] {
    guard case .object(let values)? = fields[field] else { return try textOrTexts(field) }
    fields[field] = nil
    var reader = try FieldReader(.object(values), file: file, path: name(field))
    var assignments: [String] = []
    for key in values.keys.sorted() {
      guard let value = try reader.scalar(key) else { throw reader.failure(key, "has no value") }
      assignments.append("\(key)=\(value)")
    }
    return assignments
  }

  /// Fails when a field was not asked for.
  package func finish() throws(ScalingError) {
    if let unknown = fields.keys.min() { throw failure(unknown, "is not known here") }
  }

  private mutating func list(_ field: String) throws(ScalingError) -> [JSONValue] {
    switch fields.removeValue(forKey: field) {
    case nil, .null: return []
    case .list(let values): return values
    case let value?: throw failure(field, "must be a list, not \(value.kindName)")
    }
  }

  private func name(_ field: String) -> String { path.isEmpty ? field : "\(path).\(field)" }
}
