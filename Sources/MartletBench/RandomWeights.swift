import MartletKernels

/// Weights without meaning in a file's layout, whose scales are ordinary numbers: denormal or
/// infinite ones could change a kernel's speed.
enum RandomWeights {
  /// Bytes of `outputs` rows of `depth`. A few thousand blocks repeat.
  static func bytes(_ shape: MatrixShape) -> [UInt8] {
    let type = shape.type
    let patternBlocks = min(shape.elements / type.blockElements, 8_192)
    var pattern = [UInt8](repeating: 0, count: patternBlocks * type.blockBytes)
    for index in pattern.indices { pattern[index] = UInt8(truncatingIfNeeded: randomBits(index)) }
    for block in 0..<patternBlocks { setScales(type, &pattern, at: block * type.blockBytes) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(shape.bytes)
    while bytes.count < shape.bytes {
      bytes.append(contentsOf: pattern.prefix(shape.bytes - bytes.count))
    }
    return bytes
  }

  /// Makes the scales of one block, or the one element of a float type, lie between 2⁻⁷ and 2⁻⁵.
  private static func setScales(_ type: WeightType, _ bytes: inout [UInt8], at base: Int) {
    switch type {
    case .f32: bytes[base + 3] = bytes[base + 3] & 0x80 | 0x3C
    case .bf16: bytes[base + 1] = bytes[base + 1] & 0x80 | 0x3C
    case .f16: bytes[base + 1] = bytes[base + 1] & 0x83 | 0x20
    case .q6_K: bytes[base + type.blockBytes - 1] = bytes[base + type.blockBytes - 1] & 3 | 0x20
    case .q4_1, .q5_1, .q4_K, .q5_K:
      bytes[base + 1] = bytes[base + 1] & 3 | 0x20
      bytes[base + 3] = bytes[base + 3] & 3 | 0x20
    case .q4_0, .q5_0, .q8_0, .iq4_nl: bytes[base + 1] = bytes[base + 1] & 3 | 0x20
    }
  }
}

extension FloatMatrix {
  /// Fills all rows with values between −1 and 1 without a pattern.
  func fillRandomly() {
    let pattern = (0..<min(columns, 4_096)).map {
      Float(Int64(bitPattern: randomBits($0)) >> 32) / 0x1p31
    }
    for row in 0..<rows {
      setRow(row, (0..<columns).map { pattern[($0 + row * 7) % pattern.count] })
    }
  }
}
