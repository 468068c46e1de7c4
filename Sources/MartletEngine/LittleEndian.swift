/// Reads little-endian numbers out of bytes whose length was checked before.
struct LittleEndianReader {
  let bytes: [UInt8]
  var offset: Int

  /// The next number. Traps where the bytes end first.
  mutating func next<I: FixedWidthInteger>() -> I {
    var value: I = 0
    for i in 0..<I.bitWidth / 8 { value |= I(truncatingIfNeeded: bytes[offset + i]) << I(8 * i) }
    offset += I.bitWidth / 8
    return value
  }
}

extension [UInt8] {
  /// Adds the bytes of a number, the lowest first.
  mutating func append<I: FixedWidthInteger>(littleEndian value: I) {
    for shift in stride(from: 0, to: I.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: value >> I(shift)))
    }
  }
}
