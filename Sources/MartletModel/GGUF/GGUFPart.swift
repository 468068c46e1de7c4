import MartletMachine

/// One parsed file of a model: header, metadata and tensor directory, all checked.
///
/// Format: "GGUF" specification of the ggml project, versions 2 and 3 (3 adds big-endian files,
/// which are refused).
struct GGUFPart {
  let version: UInt32
  let metadata: GGUFMetadata
  let tensors: [TensorInfo]
  /// Bytes of header, metadata and tensor list.
  let directoryByteCount: Int

  /// Parses the directory of `file`. Linear in the directory's bytes; every claimed count is
  /// compared with the bytes left before anything is allocated for it.
  static func parse(_ file: MappedFile, path: String, part: Int) throws(ModelError) -> GGUFPart {
    try file.parsing(label: path) { (cursor: inout ByteCursor) throws(ModelError) in
      var parser = GGUFParser(file: file, path: path, part: part)
      return try parser.part(&cursor)
    }
  }
}

/// The state of one parse.
private struct GGUFParser {
  let file: MappedFile
  let path: String
  let part: Int

  /// "GGUF" read as a little-endian integer.
  static let magic: UInt32 = 0x4655_4747
  /// Arrays nest at most this deep; real files do not nest at all.
  static let deepestNesting = 4
  static let longestKey = 65_535
  static let longestTensorName = 64
  static let mostDimensions: UInt32 = 4
  static let largestAlignment = 1 << 20

  mutating func part(_ cursor: inout ByteCursor) throws(ModelError) -> GGUFPart {
    let version = try header(&cursor)
    // Both counts come before either table: check them against the smallest entry each can have.
    let tensorCount = try cursor.integer(UInt64.self, "tensor count")
    let entryCount = try cursor.integer(UInt64.self, "metadata count")
    let entries = try cursor.check(count: entryCount, ofAtLeast: 14, "metadata count")
    let metadata = try metadata(&cursor, count: entries)
    let alignment = try alignment(metadata)
    // Name length, one byte of name, dimension count, one dimension, type, offset.
    let tensors = try cursor.check(count: tensorCount, ofAtLeast: 33, "tensor count")
    let claims = try claims(&cursor, count: tensors)
    // The offset is at most the file's size and the alignment at most 2^20: no overflow.
    let directory = cursor.offset
    let dataOffset = (directory + alignment - 1) & ~(alignment - 1)
    return GGUFPart(
      version: version, metadata: metadata,
      tensors: try place(claims, dataOffset: dataOffset, alignment: alignment),
      directoryByteCount: directory)
  }

  private func header(_ cursor: inout ByteCursor) throws(ModelError) -> UInt32 {
    guard cursor.remaining >= 24 else {
      throw ModelError(
        .format, "\(path): \(cursor.remaining) bytes are too few for a GGUF file. Is it a model?")
    }
    let magic = try cursor.integer(UInt32.self, "magic")
    guard magic == Self.magic else {
      throw ModelError(
        .format,
        "\(path): not a GGUF file (it starts with 0x\(String(magic, radix: 16)) instead of "
          + "'GGUF'). Convert the model to GGUF first.")
    }
    let version = try cursor.integer(UInt32.self, "version")
    guard !(1...3).contains(version.byteSwapped) else {
      throw ModelError(
        .unsupported,
        "\(path): a big-endian GGUF file. Convert it for little-endian machines.")
    }
    guard (2...3).contains(version) else {
      throw ModelError(
        .unsupported,
        "\(path): GGUF version \(version); versions 2 and 3 are read. "
          + "Convert the model again with a current converter.")
    }
    return version
  }

  // MARK: Metadata

  private func metadata(
    _ cursor: inout ByteCursor, count: Int
  ) throws(ModelError) -> GGUFMetadata {
    var entries: [GGUFEntry] = []
    entries.reserveCapacity(count)
    for number in 0..<count {
      let start = cursor.offset
      let range = try cursor.lengthPrefixed("metadata key \(number)")
      guard !range.isEmpty, range.count <= Self.longestKey, let key = cursor.text(range) else {
        throw ModelError(
          .format,
          "\(path): metadata key \(number) at byte \(start) is empty, longer than "
            + "\(Self.longestKey) bytes or not UTF-8. The file is damaged.")
      }
      let type = try valueType(&cursor, "type of '\(key)'")
      let value = try value(&cursor, key: key, type: type)
      entries.append(GGUFEntry(key: key, type: type, value: value))
    }
    return try GGUFMetadata(entries: entries, source: path)
  }

  private func valueType(
    _ cursor: inout ByteCursor, _ field: @autoclosure () -> String
  ) throws(ModelError) -> GGUFValueType {
    let start = cursor.offset
    let raw = try cursor.integer(UInt32.self, field())
    guard let type = GGUFValueType(rawValue: raw) else {
      throw ModelError(
        .format,
        "\(path): \(field()) at byte \(start) is \(raw); GGUF has value types 0 to 12. "
          + "The file is damaged or newer than this reader.")
    }
    return type
  }

  private func value(
    _ cursor: inout ByteCursor, key: String, type: GGUFValueType
  ) throws(ModelError) -> GGUFValue {
    switch type {
    case .uint8: return .unsigned(UInt64(try cursor.integer(UInt8.self, key)))
    case .uint16: return .unsigned(UInt64(try cursor.integer(UInt16.self, key)))
    case .uint32: return .unsigned(UInt64(try cursor.integer(UInt32.self, key)))
    case .uint64: return .unsigned(try cursor.integer(UInt64.self, key))
    case .int8: return .integer(Int64(try cursor.integer(Int8.self, key)))
    case .int16: return .integer(Int64(try cursor.integer(Int16.self, key)))
    case .int32: return .integer(Int64(try cursor.integer(Int32.self, key)))
    case .int64: return .integer(try cursor.integer(Int64.self, key))
    case .float32:
      return .float(Double(Float(bitPattern: try cursor.integer(UInt32.self, key))))
    case .float64: return .float(Double(bitPattern: try cursor.integer(UInt64.self, key)))
    case .bool:
      let byte = try cursor.integer(UInt8.self, key)
      guard byte <= 1 else {
        throw ModelError(
          .format, "\(path): '\(key)' is a boolean of value \(byte); it must be 0 or 1.")
      }
      return .bool(byte == 1)
    case .string:
      let range = try cursor.lengthPrefixed("'\(key)'")
      if let text = cursor.text(range) { return .string(text) }
      return .bytes(
        try cursor.withContents(range) { (bytes) throws(ModelError) in
          bytes.indices.map { bytes[$0] }
        })
    case .array:
      let elements = try arrayHeader(&cursor, key: key)
      let array = GGUFArray(
        mapped: file, offset: cursor.offset, type: elements.type, count: elements.count,
        label: "\(path): '\(key)'")
      try skipElements(&cursor, key: key, type: elements.type, count: elements.count, depth: 1)
      return .array(array)
    }
  }

  private func arrayHeader(
    _ cursor: inout ByteCursor, key: String
  ) throws(ModelError) -> (type: GGUFValueType, count: Int) {
    let type = try valueType(&cursor, "element type of '\(key)'")
    let claimed = try cursor.integer(UInt64.self, "length of '\(key)'")
    let count = try cursor.check(
      count: claimed, ofAtLeast: type.minimumByteCount, "array '\(key)'")
    return (type, count)
  }

  private func skipElements(
    _ cursor: inout ByteCursor, key: String, type: GGUFValueType, count: Int, depth: Int
  ) throws(ModelError) {
    if let size = type.byteCount {
      cursor.skip(count * size)  // count <= remaining / size was checked
      return
    }
    guard depth <= Self.deepestNesting else {
      throw ModelError(
        .format, "\(path): '\(key)' nests arrays more than \(Self.deepestNesting) deep.")
    }
    for index in 0..<count {
      if type == .string {
        _ = try cursor.lengthPrefixed("'\(key)'[\(index)]")
      } else {
        let inner = try arrayHeader(&cursor, key: key)
        try skipElements(
          &cursor, key: key, type: inner.type, count: inner.count, depth: depth + 1)
      }
    }
  }

  private func alignment(_ metadata: GGUFMetadata) throws(ModelError) -> Int {
    let alignment = try metadata.optionalInt("general.alignment") ?? 32
    guard alignment > 0, alignment <= Self.largestAlignment, alignment & (alignment - 1) == 0
    else {
      throw ModelError(
        .value,
        "\(path): 'general.alignment' is \(alignment); it must be a power of two up to "
          + "\(Self.largestAlignment).")
    }
    return alignment
  }

  // MARK: Tensors

  /// What the directory says of a tensor before its place is checked.
  private struct Claim {
    let name: String
    let shape: [Int]
    let type: GGUFTensorType
    let elements: Int
    let bytes: Int
    let offset: UInt64
  }

  private func claims(_ cursor: inout ByteCursor, count: Int) throws(ModelError) -> [Claim] {
    var claims: [Claim] = []
    claims.reserveCapacity(count)
    var names: Set<String> = []
    for number in 0..<count {
      let claim = try claim(&cursor, number: number)
      guard names.insert(claim.name).inserted else {
        throw ModelError(
          .format, "\(path): tensor '\(claim.name)' appears twice. The file is damaged.")
      }
      claims.append(claim)
    }
    return claims
  }

  private func claim(_ cursor: inout ByteCursor, number: Int) throws(ModelError) -> Claim {
    let start = cursor.offset
    let range = try cursor.lengthPrefixed("name of tensor \(number)")
    guard !range.isEmpty, range.count <= Self.longestTensorName, let name = cursor.text(range)
    else {
      throw ModelError(
        .format,
        "\(path): the name of tensor \(number) at byte \(start) is empty, longer than "
          + "\(Self.longestTensorName) bytes or not UTF-8. The file is damaged.")
    }
    let dimensions = try cursor.integer(UInt32.self, "dimension count of '\(name)'")
    guard (1...Self.mostDimensions).contains(dimensions) else {
      throw ModelError(
        .format,
        "\(path): tensor '\(name)' has \(dimensions) dimensions; GGUF allows 1 to "
          + "\(Self.mostDimensions).")
    }
    var shape: [Int] = []
    var elements = 1
    for dimension in 0..<dimensions {
      let raw = try cursor.integer(UInt64.self, "dimension \(dimension) of '\(name)'")
      let (product, overflow) = elements.multipliedReportingOverflow(by: Int(clamping: raw))
      guard raw > 0, raw <= UInt64(Int.max), !overflow else {
        throw ModelError(
          .format,
          "\(path): dimension \(dimension) of tensor '\(name)' is \(raw): zero, or too many "
            + "elements in all. The file is damaged.")
      }
      shape.append(Int(raw))
      elements = product
    }
    let rawType = try cursor.integer(UInt32.self, "type of '\(name)'")
    guard let type = GGUFTensorType(id: rawType) else {
      throw ModelError(
        .unsupported,
        "\(path): tensor '\(name)' has type \(rawType), which this version does not know. "
          + "Quantise the model to a common type such as Q4_K or Q8_0.")
    }
    guard shape[0].isMultiple(of: type.blockElements),
      let bytes = type.byteCount(elements: elements)
    else {
      throw ModelError(
        .format,
        "\(path): tensor '\(name)' is \(type.name) with rows of \(shape[0]) elements; they must "
          + "be a multiple of \(type.blockElements) and its size must fit in memory.")
    }
    let offset = try cursor.integer(UInt64.self, "offset of '\(name)'")
    return Claim(
      name: name, shape: shape, type: type, elements: elements, bytes: bytes, offset: offset)
  }

  /// Turns relative offsets into places inside the file, refusing anything outside or shared.
  private func place(
    _ claims: [Claim], dataOffset: Int, alignment: Int
  ) throws(ModelError) -> [TensorInfo] {
    var tensors: [TensorInfo] = []
    tensors.reserveCapacity(claims.count)
    for claim in claims {
      guard claim.offset.isMultiple(of: UInt64(alignment)) else {
        throw ModelError(
          .format,
          "\(path): tensor '\(claim.name)' is at offset \(claim.offset), which is not a multiple "
            + "of the alignment \(alignment). The file is damaged.")
      }
      let space = Swift.max(0, file.count - dataOffset)
      guard claim.bytes <= space, claim.offset <= UInt64(space - claim.bytes) else {
        throw ModelError(
          .truncated,
          "\(path): tensor '\(claim.name)' needs \(claim.bytes) bytes at offset \(claim.offset) of "
            + "the data section, which holds \(space). The file is incomplete: download it again.")
      }
      tensors.append(
        TensorInfo(
          name: claim.name, shape: claim.shape, type: claim.type, elementCount: claim.elements,
          byteCount: claim.bytes, part: part, offset: dataOffset + Int(claim.offset)))
    }
    try checkDisjoint(tensors)
    return tensors
  }

  private func checkDisjoint(_ tensors: [TensorInfo]) throws(ModelError) {
    let sorted = tensors.sorted { $0.offset < $1.offset }
    for (before, after) in zip(sorted, sorted.dropFirst())
    where before.offset + before.byteCount > after.offset {
      throw ModelError(
        .format,
        "\(path): tensors '\(before.name)' and '\(after.name)' overlap at byte \(after.offset). "
          + "The file is damaged.")
    }
  }
}
