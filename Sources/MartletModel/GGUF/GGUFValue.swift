/// The type of a metadata value, with GGUF's ids.
public enum GGUFValueType: UInt32, Sendable, CaseIterable {
  case uint8 = 0
  case int8 = 1
  case uint16 = 2
  case int16 = 3
  case uint32 = 4
  case int32 = 5
  case float32 = 6
  case bool = 7
  case string = 8
  case array = 9
  case uint64 = 10
  case int64 = 11
  case float64 = 12

  /// Bytes of one value of a fixed-size type; nil for strings and arrays.
  public var byteCount: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }

  /// The fewest bytes one element can take in a file: strings and arrays carry their headers.
  var minimumByteCount: Int {
    switch self {
    case .string: 8
    case .array: 12
    default: byteCount ?? 1
    }
  }
}

/// One metadata value.
public enum GGUFValue: Sendable {
  /// Any signed integer type.
  case integer(Int64)
  /// Any unsigned integer type.
  case unsigned(UInt64)
  /// float32 or float64.
  case float(Double)
  case bool(Bool)
  case string(String)
  /// A string that is not UTF-8, as its bytes.
  case bytes([UInt8])
  /// An array, decoded when it is asked for.
  case array(GGUFArray)

  /// The kind of value, for messages.
  var kind: String {
    switch self {
    case .integer, .unsigned: "an integer"
    case .float: "a float"
    case .bool: "a boolean"
    case .string: "a string"
    case .bytes: "a string that is not UTF-8"
    case .array(let array): "an array of \(array.elementType)"
    }
  }
}

/// One key with its value, in file order.
public struct GGUFEntry: Sendable {
  /// The key, e.g. `llama.block_count`.
  public let key: String
  /// The type the file gives the value.
  public let type: GGUFValueType
  /// The value.
  public let value: GGUFValue

  /// An entry, for building metadata in code.
  public init(key: String, type: GGUFValueType, value: GGUFValue) {
    self.key = key
    self.type = type
    self.value = value
  }
}
