/// The key-value table of a GGUF file, with lookups that say what is wrong.
///
/// A lookup of a required key throws `missing` when it is absent and `value` when its type or range
/// is wrong, naming the file, the key and the value; the `optional` twins give nil for an absent key
/// and still throw for a wrong one, so that a damaged value is never taken for a default.
public struct GGUFMetadata: Sendable {
  /// Every entry in file order.
  public let entries: [GGUFEntry]
  /// The file, for messages.
  public let source: String
  private let index: [String: Int]

  /// Metadata from entries. Throws `format` for a duplicate key.
  public init(entries: [GGUFEntry], source: String = "metadata") throws(ModelError) {
    var index: [String: Int] = [:]
    index.reserveCapacity(entries.count)
    for (position, entry) in entries.enumerated() {
      guard index.updateValue(position, forKey: entry.key) == nil else {
        throw ModelError(
          .format, "\(source): metadata key '\(entry.key)' appears twice. The file is damaged.")
      }
    }
    self.entries = entries
    self.index = index
    self.source = source
  }

  /// The value of a key, or nil.
  public subscript(key: String) -> GGUFValue? {
    index[key].map { entries[$0].value }
  }

  /// Whether a key is present.
  public func contains(_ key: String) -> Bool { index[key] != nil }

  /// A string.
  public func string(_ key: String) throws(ModelError) -> String {
    try required(key, optionalString(key))
  }

  /// A string, or nil when the key is absent.
  public func optionalString(_ key: String) throws(ModelError) -> String? {
    switch self[key] {
    case nil: return nil
    case .string(let text): return text
    case .some(let value): throw wrong(key, value, "a UTF-8 string")
    }
  }

  /// An integer of any width.
  public func int(_ key: String) throws(ModelError) -> Int {
    try required(key, optionalInt(key))
  }

  /// An integer of any width, or nil when the key is absent.
  public func optionalInt(_ key: String) throws(ModelError) -> Int? {
    switch self[key] {
    case nil: return nil
    case .integer(let value): return Int(value)
    case .unsigned(let value):
      guard let small = Int(exactly: value) else {
        throw ModelError(
          .value, "\(source): '\(key)' is \(value), beyond any size this reader can hold.")
      }
      return small
    case .some(let value): throw wrong(key, value, "an integer")
    }
  }

  /// A number: a float, or an integer taken as one.
  public func float(_ key: String) throws(ModelError) -> Double {
    try required(key, optionalFloat(key))
  }

  /// A number, or nil when the key is absent.
  public func optionalFloat(_ key: String) throws(ModelError) -> Double? {
    switch self[key] {
    case nil: return nil
    case .float(let value): return value
    case .integer(let value): return Double(value)
    case .unsigned(let value): return Double(value)
    case .some(let value): throw wrong(key, value, "a number")
    }
  }

  /// A boolean.
  public func bool(_ key: String) throws(ModelError) -> Bool {
    try required(key, optionalBool(key))
  }

  /// A boolean, or nil when the key is absent.
  public func optionalBool(_ key: String) throws(ModelError) -> Bool? {
    switch self[key] {
    case nil: return nil
    case .bool(let value): return value
    case .some(let value): throw wrong(key, value, "a boolean")
    }
  }

  /// An array, not yet decoded.
  public func array(_ key: String) throws(ModelError) -> GGUFArray {
    try required(key, optionalArray(key))
  }

  /// An array, or nil when the key is absent.
  public func optionalArray(_ key: String) throws(ModelError) -> GGUFArray? {
    switch self[key] {
    case nil: return nil
    case .array(let array): return array
    case .some(let value): throw wrong(key, value, "an array")
    }
  }

  private func required<T>(_ key: String, _ value: T?) throws(ModelError) -> T {
    guard let value else {
      throw ModelError(
        .missing,
        "\(source): metadata key '\(key)' is missing. "
          + "Convert the model again with a current converter.")
    }
    return value
  }

  private func wrong(_ key: String, _ value: GGUFValue, _ wanted: String) -> ModelError {
    ModelError(.value, "\(source): '\(key)' is \(value.kind); it must be \(wanted).")
  }
}
