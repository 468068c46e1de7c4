/// What `martlet model info` shows of a file: metadata with long values cut short, and what its
/// tensors add up to. Reads headers only.
public struct ModelInfo: Sendable, Encodable, CustomStringConvertible {
  /// One metadata key.
  public struct Entry: Sendable, Encodable {
    public let key: String
    public let type: String
    public let value: String
  }

  /// All tensors of one storage type.
  public struct TypeTotal: Sendable, Encodable {
    public let type: String
    public let tensors: Int
    public let parameters: Int
    public let bytes: Int
    /// Whether this version has kernels for it.
    public let runs: Bool
  }

  public let path: String
  public let ggufVersion: Int
  public let parts: Int
  public let bytes: Int
  public let fingerprint: String
  public let tensors: Int
  public let parameters: Int
  public let types: [TypeTotal]
  public let metadata: [Entry]

  /// Opens `path` and describes it. Throws `ModelError` when the file is not sound.
  public init(path: String) throws(ModelError) { try self.init(GGUFFile(path: path)) }

  /// Describes an open file.
  public init(_ file: GGUFFile) throws(ModelError) {
    path = file.path
    ggufVersion = file.version
    parts = file.partCount
    bytes = file.byteCount
    fingerprint = Fingerprint.of(file)
    tensors = file.tensorList.count
    parameters = file.tensorList.reduce(0) { $0 + $1.elementCount }
    types = Dictionary(grouping: file.tensorList, by: \.type)
      .map { type, tensors in
        TypeTotal(
          type: type.name, tensors: tensors.count,
          parameters: tensors.reduce(0) { $0 + $1.elementCount },
          bytes: tensors.reduce(0) { $0 + $1.byteCount }, runs: type.weightType != nil)
      }
      .sorted { ($1.bytes, $0.type) < ($0.bytes, $1.type) }
    var entries: [Entry] = []
    for entry in file.metadata.entries { entries.append(try Self.entry(entry)) }
    metadata = entries
  }

  /// The whole description as text for a terminal; control characters of the file are escaped.
  public var description: String {
    var lines = [
      "file         \(Self.printable(path, limit: .max))",
      "format       GGUF v\(ggufVersion), \(parts) \(parts == 1 ? "file" : "files"), \(bytes) bytes",
      "fingerprint  \(fingerprint)",
      "parameters   \(parameters) in \(tensors) tensors",
    ]
    lines += types.map {
      "  \(pad($0.type, 8)) \(pad(String($0.tensors), 5)) tensors, \($0.parameters) parameters, "
        + "\($0.bytes) bytes\($0.runs ? "" : "  (no kernels in this version)")"
    }
    lines.append("metadata     \(metadata.count) keys")
    let keyWidth = metadata.map(\.key.count).max() ?? 0
    lines += metadata.map {
      "  \(pad($0.key, Swift.min(48, keyWidth)))  \(pad($0.type, 13))  \($0.value)"
    }
    return lines.joined(separator: "\n")
  }

  // MARK: Values

  private static let longestString = 160
  private static let mostElements = 6

  private static func entry(_ entry: GGUFEntry) throws(ModelError) -> Entry {
    let type: String
    if case .array(let array) = entry.value {
      type = "\(array.elementType)[\(array.count)]"
    } else {
      type = "\(entry.type)"
    }
    return Entry(
      key: printable(entry.key, limit: longestString), type: type, value: try text(entry.value))
  }

  private static func text(_ value: GGUFValue) throws(ModelError) -> String {
    switch value {
    case .integer(let value): return String(value)
    case .unsigned(let value): return String(value)
    case .float(let value): return String(Float(value))
    case .bool(let value): return String(value)
    case .string(let value): return quoted(value)
    case .bytes(let bytes): return "\(bytes.count) bytes that are not UTF-8"
    case .array(let array):
      let shown = try elements(array)
      let more = array.count > shown.count ? ", … \(array.count - shown.count) more" : ""
      return "[\(shown.joined(separator: ", "))\(more)]"
    }
  }

  private static func elements(_ array: GGUFArray) throws(ModelError) -> [String] {
    switch array.elementType {
    case .string:
      var result: [String] = []
      try array.forEachString(limit: mostElements) { (_, bytes) in
        // Token pieces may be partial UTF-8: shown repaired.
        result.append(quoted(String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)))
      }
      return result
    case .float32, .float64:
      return try array.floats(limit: mostElements).map { String(Float($0)) }
    case .bool: return try array.bools(limit: mostElements).map { String($0) }
    case .array: return []
    default: return try array.integers(limit: mostElements).map { String($0) }
    }
  }

  private static func quoted(_ text: String) -> String {
    "\"\(printable(text, limit: longestString))\""
  }

  /// `text` with control characters escaped, cut after `limit` characters.
  private static func printable(_ text: String, limit: Int) -> String {
    var result = ""
    for scalar in text.unicodeScalars.prefix(limit) {
      switch scalar {
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case _ where scalar.properties.generalCategory == .control:
        result += "\\u{\(String(scalar.value, radix: 16))}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    let more = text.unicodeScalars.count - Swift.min(limit, text.unicodeScalars.count)
    return more > 0 ? result + "… (\(more) more)" : result
  }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: Swift.max(0, width - text.count))
  }
}
