import MartletMachine

/// A metadata array: a place in the mapped file, decoded only when it is asked for.
///
/// A tokenizer's arrays hold 150,000 strings; opening a file walks over them once and copies
/// nothing. Decoding checks the bytes again, so a file changed underneath gives an error.
public struct GGUFArray: Sendable {
  private enum Storage: Sendable {
    case mapped(MappedFile, offset: Int)
    case strings([[UInt8]])
    case integers([Int64])
    case floats([Double])
    case bools([Bool])
  }

  /// The type of every element.
  public let elementType: GGUFValueType
  /// How many elements there are.
  public let count: Int
  /// Key and file, for messages.
  private let label: String
  private let storage: Storage

  init(mapped file: MappedFile, offset: Int, type: GGUFValueType, count: Int, label: String) {
    storage = .mapped(file, offset: offset)
    elementType = type
    self.count = count
    self.label = label
  }

  /// An array of strings held in memory.
  public init(_ strings: [String]) {
    self.init(bytes: strings.map { Array($0.utf8) })
  }

  /// An array of byte strings held in memory.
  public init(bytes: [[UInt8]]) {
    storage = .strings(bytes)
    elementType = .string
    count = bytes.count
    label = "array"
  }

  /// An array of integers held in memory.
  public init(_ integers: [Int]) {
    storage = .integers(integers.map(Int64.init))
    elementType = .int64
    count = integers.count
    label = "array"
  }

  /// An array of floats held in memory.
  public init(_ floats: [Double]) {
    storage = .floats(floats)
    elementType = .float64
    count = floats.count
    label = "array"
  }

  /// An array of booleans held in memory.
  public init(_ bools: [Bool]) {
    storage = .bools(bools)
    elementType = .bool
    count = bools.count
    label = "array"
  }

  /// Calls `body` with the bytes of every string in order; the span is valid inside the call only.
  ///
  /// Throws `value` when the elements are not strings. Linear in the bytes; copies nothing.
  public func forEachString(
    limit: Int = .max, _ body: (Int, Span<UInt8>) throws(ModelError) -> Void
  ) throws(ModelError) {
    guard elementType == .string else { throw wrongType("strings") }
    let end = Swift.min(limit, count)
    switch storage {
    case .strings(let strings):
      for index in 0..<end {
        let string = strings[index]
        try body(index, string.span)
      }
    case .mapped(let file, let offset):
      try file.parsing(at: offset, label: label) { (cursor: inout ByteCursor) throws(ModelError) in
        for index in 0..<end {
          let range = try cursor.lengthPrefixed("\(label)[\(index)]")
          try cursor.withContents(range) { (bytes) throws(ModelError) in try body(index, bytes) }
        }
      }
    default: throw wrongType("strings")
    }
  }

  /// The strings; one that is not UTF-8 is an error naming its index.
  public func strings(limit: Int = .max) throws(ModelError) -> [String] {
    var result: [String] = []
    result.reserveCapacity(Swift.min(limit, count))
    try forEachString(limit: limit) { (index, bytes) throws(ModelError) in
      guard let text = try? UTF8Span(validating: bytes) else {
        throw ModelError(.value, "\(label)[\(index)] is not valid UTF-8.")
      }
      result.append(String(copying: text))
    }
    return result
  }

  /// The strings as bytes, whatever they hold.
  public func byteStrings() throws(ModelError) -> [[UInt8]] {
    var result: [[UInt8]] = []
    result.reserveCapacity(count)
    try forEachString { (_, bytes) in
      var copy: [UInt8] = []
      copy.reserveCapacity(bytes.count)
      for index in bytes.indices { copy.append(bytes[index]) }
      result.append(copy)
    }
    return result
  }

  /// The integers. Throws `value` for another element type or a value beyond Int.
  public func integers(limit: Int = .max) throws(ModelError) -> [Int] {
    let end = Swift.min(limit, count)
    if case .integers(let values) = storage { return values.prefix(end).map(Int.init) }
    guard case .mapped(let file, let offset) = storage else { throw wrongType("integers") }
    return try file.parsing(at: offset, label: label) {
      (cursor: inout ByteCursor) throws(ModelError) in
      switch elementType {
      case .uint8: try read(&cursor, end, UInt8.self)
      case .int8: try read(&cursor, end, Int8.self)
      case .uint16: try read(&cursor, end, UInt16.self)
      case .int16: try read(&cursor, end, Int16.self)
      case .uint32: try read(&cursor, end, UInt32.self)
      case .int32: try read(&cursor, end, Int32.self)
      case .uint64: try read(&cursor, end, UInt64.self)
      case .int64: try read(&cursor, end, Int64.self)
      default: throw wrongType("integers")
      }
    }
  }

  /// The numbers as doubles: floats and integers alike.
  public func floats(limit: Int = .max) throws(ModelError) -> [Double] {
    let end = Swift.min(limit, count)
    if case .floats(let values) = storage { return Array(values.prefix(end)) }
    guard case .mapped(let file, let offset) = storage,
      elementType == .float32 || elementType == .float64
    else { return try integers(limit: limit).map(Double.init) }
    return try file.parsing(at: offset, label: label) {
      (cursor: inout ByteCursor) throws(ModelError) in
      var result: [Double] = []
      result.reserveCapacity(end)
      for index in 0..<end {
        if elementType == .float32 {
          let bits = try cursor.integer(UInt32.self, "\(label)[\(index)]")
          result.append(Double(Float(bitPattern: bits)))
        } else {
          let bits = try cursor.integer(UInt64.self, "\(label)[\(index)]")
          result.append(Double(bitPattern: bits))
        }
      }
      return result
    }
  }

  /// The booleans. Throws `value` for another element type or a byte that is neither 0 nor 1.
  public func bools(limit: Int = .max) throws(ModelError) -> [Bool] {
    let end = Swift.min(limit, count)
    if case .bools(let values) = storage { return Array(values.prefix(end)) }
    guard case .mapped(let file, let offset) = storage, elementType == .bool else {
      throw wrongType("booleans")
    }
    return try file.parsing(at: offset, label: label) {
      (cursor: inout ByteCursor) throws(ModelError) in
      var result: [Bool] = []
      result.reserveCapacity(end)
      for index in 0..<end {
        let byte = try cursor.integer(UInt8.self, "\(label)[\(index)]")
        guard byte <= 1 else {
          throw ModelError(.value, "\(label)[\(index)] is \(byte); a boolean is 0 or 1.")
        }
        result.append(byte == 1)
      }
      return result
    }
  }

  private func read<T: FixedWidthInteger>(
    _ cursor: inout ByteCursor, _ end: Int, _ type: T.Type
  ) throws(ModelError) -> [Int] {
    var result: [Int] = []
    result.reserveCapacity(end)
    for index in 0..<end {
      let raw = try cursor.integer(type, "\(label)[\(index)]")
      guard let value = Int(exactly: raw) else {
        throw ModelError(.value, "\(label)[\(index)] is \(raw), beyond what this reader holds.")
      }
      result.append(value)
    }
    return result
  }

  private func wrongType(_ wanted: String) -> ModelError {
    ModelError(.value, "\(label) is an array of \(elementType); \(wanted) are needed.")
  }
}
