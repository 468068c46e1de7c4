/// Text decoded to code points, with each one's class and where its bytes lie: what the
/// pre-tokenizers scan.
///
/// Bytes that are not UTF-8 are taken as llama.cpp takes them, so that the tokens agree: a byte
/// that starts no sequence becomes U+FFFD and reading goes on one byte later; an overlong form
/// stands for the code point it spells; a surrogate stays. A sequence beyond U+10FFFF (where
/// llama.cpp fails) counts as bytes that start no sequence.
struct ScalarText {
  private(set) var scalars: [UInt32] = []
  private(set) var classes: [ScalarClass] = []
  /// `starts[i]` is the first byte of scalar i in `bytes`; one more entry ends the last.
  private(set) var starts: [Int32] = []
  /// The text as the tokenizer sees it, repaired where it was not UTF-8.
  private(set) var bytes: [UInt8] = []

  var count: Int { scalars.count }

  /// Decodes `input`; with `escapingSpaces` a space becomes U+2581 first.
  init(_ input: Span<UInt8>, escapingSpaces: Bool = false) {
    let length = input.count
    scalars.reserveCapacity(length)
    classes.reserveCapacity(length)
    starts.reserveCapacity(length + 1)
    bytes.reserveCapacity(length)
    var offset = 0
    while offset < length {
      let byte = input[offset]
      if byte < 0x80 {
        append(byte == 0x20 && escapingSpaces ? 0x2581 : UInt32(byte))
        offset += 1
      } else if let (scalar, size) = Self.sequence(input, at: offset) {
        append(scalar)
        offset += size
      } else {
        append(0xfffd)
        offset += 1
      }
    }
    starts.append(Int32(bytes.count))
  }

  private mutating func append(_ scalar: UInt32) {
    scalars.append(scalar)
    classes.append(ScalarClass.of(scalar))
    starts.append(Int32(bytes.count))
    Self.appendUTF8(scalar, to: &bytes)
  }

  /// The code point of a two- to four-byte sequence, judged by lead byte and continuation bits
  /// only.
  private static func sequence(_ input: Span<UInt8>, at offset: Int) -> (UInt32, Int)? {
    let lead = input[offset]
    let size: Int
    switch lead {
    case 0xc0...0xdf: size = 2
    case 0xe0...0xef: size = 3
    case 0xf0...0xf7: size = 4
    default: return nil
    }
    guard offset + size <= input.count else { return nil }
    var scalar = UInt32(lead) & (0x7f >> UInt32(size))
    for index in 1..<size {
      let byte = input[offset + index]
      guard byte & 0xc0 == 0x80 else { return nil }
      scalar = scalar << 6 | UInt32(byte & 0x3f)
    }
    return scalar <= 0x10ffff ? (scalar, size) : nil
  }

  /// How many bytes a sequence with this lead byte claims, 1 for a byte that leads none.
  static func sequenceLength(_ lead: UInt8) -> Int {
    lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  }

  /// Appends the shortest sequence for a code point, surrogates included.
  static func appendUTF8(_ scalar: UInt32, to bytes: inout [UInt8]) {
    switch scalar {
    case 0..<0x80: bytes.append(UInt8(scalar))
    case 0x80..<0x800:
      bytes.append(0xc0 | UInt8(scalar >> 6))
      bytes.append(0x80 | UInt8(scalar & 0x3f))
    case 0x800..<0x10000:
      bytes.append(0xe0 | UInt8(scalar >> 12))
      bytes.append(0x80 | UInt8(scalar >> 6 & 0x3f))
      bytes.append(0x80 | UInt8(scalar & 0x3f))
    default:
      bytes.append(0xf0 | UInt8(scalar >> 18 & 0x07))
      bytes.append(0x80 | UInt8(scalar >> 12 & 0x3f))
      bytes.append(0x80 | UInt8(scalar >> 6 & 0x3f))
      bytes.append(0x80 | UInt8(scalar & 0x3f))
    }
  }
}
