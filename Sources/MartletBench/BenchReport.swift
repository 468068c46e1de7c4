import Foundation

/// One row of a benchmark.
public protocol BenchRow: Encodable, Sendable {
  /// Column titles for people.
  static var header: [String] { get }
  /// One text per title.
  var cells: [String] { get }
}

/// What a benchmark found: one object in JSON, with `schema`, `context` and `rows`.
public struct BenchReport<Row: BenchRow>: Encodable, Sendable {
  /// Grows when a key changes meaning.
  public let schema = 1
  public let context: BenchContext
  public let rows: [Row]

  /// A report.
  public init(context: BenchContext, rows: [Row]) {
    self.context = context
    self.rows = rows
  }

  /// JSON with sorted snake_case keys.
  public func json() throws -> String {
    String(decoding: try Self.encoder(pretty: true).encode(self), as: UTF8.self)
  }

  /// Comma-separated values: a line of keys, then a line per row. Lists are joined by semicolons.
  public func csv() throws -> String {
    let encoder = Self.encoder(pretty: false)
    let objects = try rows.map { row in
      try JSONSerialization.jsonObject(with: encoder.encode(row)) as? [String: Any] ?? [:]
    }
    let keys = Set(objects.flatMap(\.keys)).sorted()
    let lines = objects.map { object in keys.map { Self.field(object[$0]) }.joined(separator: ",") }
    return ([keys.joined(separator: ",")] + lines).joined(separator: "\n")
  }

  private static func encoder(pretty: Bool) -> JSONEncoder {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
    return encoder
  }

  private static func field(_ value: Any?) -> String {
    let text =
      switch value {
      case nil: ""
      case let list as [Any]: list.map { "\($0)" }.joined(separator: ";")
      case let object as [String: Any]:
        object.keys.sorted().map { "\($0)=\(object[$0] ?? "")" }.joined(separator: ";")
      case let other?: "\(other)"
      }
    guard text.contains(where: { ",\"\n".contains($0) }) else { return text }
    return "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\""
  }
}

/// `value` with as many digits as its size calls for.
func short(_ value: Double) -> String {
  let decimals = abs(value) >= 100 ? 0 : abs(value) >= 10 ? 1 : 2
  return String(format: "%.\(decimals)f", value)
}
