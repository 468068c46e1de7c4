import MartletKernels
import MartletModel

/// The beginning of a prefix file: what its pages are of.
///
/// All numbers are little-endian, and 64 bits wide but for tokens:
///
/// | bytes | |
/// | ---: | --- |
/// | 8 | `MLTPFX01`; the digits are the format's version |
/// | 8 × 7 | bytes of this header, of the file; first page, pages, bytes per page, tokens per page, bytes of the identity |
/// | | identity, UTF-8: model, rounding and layout |
/// | 4 × tokens | every token from the prompt's first to the last page's last |
/// | 8 × pages | XXH64 of each page, seeded with its number |
/// | 8 | XXH64 of everything before |
///
/// Pages follow from the next multiple of 4096 on, in the bytes that ``PrefixSharing/pageBytes(_:)``
/// gives. All tokens are there, so that a hit is never another prompt's whose hash is the same.
struct PrefixHeader: Equatable {
  private static let magic = Array("MLTPFX01".utf8)
  static let preludeBytes = 64
  private static let most = 1 << 32

  var identity: String
  /// From the prompt's first on, whole pages.
  var tokens: [Token]
  var pageTokens: Int
  var pageBytes: Int
  var firstPage: Int
  var checksums: [UInt64]

  var pageCount: Int { checksums.count }
  var pages: Range<Int> { firstPage..<firstPage + pageCount }
  private var byteCount: Int {
    Self.preludeBytes + identity.utf8.count + 4 * tokens.count + 8 * pageCount + 8
  }
  private var dataOffset: Int { (byteCount + 4095) / 4096 * 4096 }
  var fileBytes: Int { dataOffset + pageCount * pageBytes }

  /// Where a page of `pages` lies in the file.
  func offset(ofPage page: Int) -> Int { dataOffset + (page - firstPage) * pageBytes }

  static func checksum(_ bytes: [UInt8], page: Int) -> UInt64 {
    bytes.withUnsafeBytes { Checksum.xxh64($0, seed: UInt64(page)) }
  }

  var bytes: [UInt8] {
    var bytes = Self.magic
    bytes.reserveCapacity(byteCount)
    func append<N: FixedWidthInteger>(_ number: N) {
      withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
    }
    for number in [
      byteCount, fileBytes, firstPage, pageCount, pageBytes, pageTokens, identity.utf8.count,
    ] { append(UInt64(number)) }
    bytes += identity.utf8
    for token in tokens { append(token) }
    for checksum in checksums { append(checksum) }
    append(bytes.withUnsafeBytes { Checksum.xxh64($0) })
    return bytes
  }

  /// Bytes of the header that begins with `prelude`; nil where that is none of this version.
  static func byteCount(prelude: [UInt8]) -> Int? {
    guard prelude.count == preludeBytes, prelude.starts(with: magic) else { return nil }
    let count = number(prelude, 8)
    return count > preludeBytes && count < most ? count : nil
  }

  /// nil for bytes that are no sound header.
  init?(_ bytes: [UInt8]) {
    guard Self.byteCount(prelude: Array(bytes.prefix(Self.preludeBytes))) == bytes.count,
      bytes.dropLast(8).withUnsafeBytes({ Checksum.xxh64($0) })
        == UInt64(bitPattern: Int64(Self.number(bytes, bytes.count - 8)))
    else { return nil }
    let numbers = (1..<8).map { Self.number(bytes, 8 * $0) }
    let (first, count, text) = (numbers[2], numbers[3], numbers[6])
    (pageBytes, pageTokens, firstPage) = (numbers[4], numbers[5], first)
    guard ([first, count, text] + numbers[4...5]).allSatisfy({ (0..<Self.most).contains($0) }),
      count > 0, pageBytes > 0, pageTokens > 0,
      case let (tokenCount, overflow) = (first + count).multipliedReportingOverflow(by: pageTokens),
      !overflow, tokenCount < Self.most,
      Self.preludeBytes + text + 4 * tokenCount + 8 * count + 8 == bytes.count
    else { return nil }
    var place = Self.preludeBytes
    identity = String(decoding: bytes[place..<place + text], as: UTF8.self)
    place += text
    tokens = (0..<tokenCount).map { index in
      let at = place + 4 * index
      return Token(
        bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) })
    }
    place += 4 * tokenCount
    checksums = (0..<count).map {
      UInt64(bitPattern: Int64(Self.number(bytes, place + 8 * $0)))
    }
    guard fileBytes == numbers[1] else { return nil }
  }

  init(
    identity: String, tokens: [Token], pageTokens: Int, pageBytes: Int, pages: Range<Int>
  ) {
    self.identity = identity
    self.tokens = tokens
    self.pageTokens = pageTokens
    self.pageBytes = pageBytes
    firstPage = pages.lowerBound
    checksums = Array(repeating: 0, count: pages.count)
  }

  private static func number(_ bytes: [UInt8], _ at: Int) -> Int {
    Int(
      truncatingIfNeeded: (0..<8).reduce(UInt64(0)) {
        $0 | UInt64(bytes[at + $1]) << UInt64(8 * $1)
      })
  }
}
