/// GPT-2's printable stand-ins for bytes ("Language Models are Unsupervised Multitask Learners"):
/// every byte has one character, so that tokens can be stored as text.
enum ByteAlphabet {
  /// The character for each byte.
  static let scalars: [UInt32] = {
    var scalars = [UInt32](repeating: 0, count: 256)
    var next: UInt32 = 256
    for byte in UInt32(0)..<256 {
      switch byte {
      case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: scalars[Int(byte)] = byte
      default:
        scalars[Int(byte)] = next
        next += 1
      }
    }
    return scalars
  }()

  /// The byte of each character below U+0144, -1 for none.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = Int16(byte) }
    return bytes
  }()

  /// The byte that a character stands for.
  static func byte(of scalar: UInt32) -> UInt8? {
    guard scalar < 0x144, bytes[Int(scalar)] >= 0 else { return nil }
    return UInt8(bytes[Int(scalar)])
  }

  /// The bytes that a stored token stands for, or nil when a character stands for none.
  static func decode(_ token: ArraySlice<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(token.count)
    var index = token.startIndex
    while index < token.endIndex {
      let lead = token[index]
      var scalar = UInt32(lead)
      if lead >= 0x80 {
        // Stand-ins lie below U+0800: two bytes at most.
        guard lead & 0xe0 == 0xc0, index + 1 < token.endIndex, token[index + 1] & 0xc0 == 0x80
        else { return nil }
        scalar = UInt32(lead & 0x1f) << 6 | UInt32(token[index + 1] & 0x3f)
        // Not an overlong spelling of an ASCII character.
        guard scalar >= 0x80 else { return nil }
        index += 1
      }
      guard let byte = byte(of: scalar) else { return nil }
      result.append(byte)
      index += 1
    }
    return result
  }

  /// The UTF-8 of the stand-in for one byte.
  static func encode(_ byte: UInt8) -> [UInt8] {
    var result: [UInt8] = []
    ScalarText.appendUTF8(scalars[Int(byte)], to: &result)
    return result
  }

  /// The name of a byte token, as SentencePiece writes it: `<0x0A>`.
  static func hexName(_ byte: UInt8) -> [UInt8] {
    let digits = Array("0123456789ABCDEF".utf8)
    return Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]] + Array(">".utf8)
  }
}
