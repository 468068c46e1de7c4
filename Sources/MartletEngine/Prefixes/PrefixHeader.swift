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
    for number in [
      byteCount, fileBytes, firstPage, pageCount, pageBytes, pageTokens, identity.utf8.count,
    ] { bytes.append(littleEndian: UInt64(number)) }
    bytes += identity.utf8
    for token in tokens { bytes.append(littleEndian: token) }
    for checksum in checksums { bytes.append(littleEndian: checksum) }
    bytes.append(littleEndian: bytes.withUnsafeBytes { Checksum.xxh64($0) })
    return bytes
  }

  /// Bytes of the header that begins with `prelude`; nil where that is none of this version.
  static func byteCount(prelude: [UInt8]) -> Int? {
    guard prelude.count == preludeBytes, prelude.starts(with: magic) else { return nil }
    var reader = LittleEndianReader(bytes: prelude, offset: magic.count)
    let count: Int = reader.next()
    return count > preludeBytes && count < most ? count : nil
  }

  /// nil for bytes that are no sound header.
  init?(_ bytes: [UInt8]) {
    guard Self.byteCount(prelude: Array(bytes.prefix(Self.preludeBytes))) == bytes.count else {
      return nil
    }
    var end = LittleEndianReader(bytes: bytes, offset: bytes.count - 8)
    guard end.next() == bytes.dropLast(8).withUnsafeBytes({ Checksum.xxh64($0) }) else {
      return nil
    }
    var reader = LittleEndianReader(bytes: bytes, offset: Self.magic.count + 8)
    let numbers: [Int] = (1..<7).map { _ in reader.next() }
    let (file, text) = (numbers[0], numbers[5])
    let (first, count) = (numbers[1], numbers[2])
    (firstPage, pageBytes, pageTokens) = (first, numbers[3], numbers[4])
    guard numbers[1...].allSatisfy({ (0..<Self.most).contains($0) }),
      count > 0, pageBytes > 0, pageTokens > 0,
      case let (tokenCount, overflow) = (first + count).multipliedReportingOverflow(by: pageTokens),
      !overflow, tokenCount < Self.most,
      Self.preludeBytes + text + 4 * tokenCount + 8 * count + 8 == bytes.count
    else { return nil }
    identity = String(decoding: bytes[reader.offset..<reader.offset + text], as: UTF8.self)
    reader.offset += text
    tokens = (0..<tokenCount).map { _ in reader.next() }
    checksums = (0..<count).map { _ in reader.next() }
    guard fileBytes == file else { return nil }
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
}
