import Foundation
import MartletKernels

/// What packed weights belong to: contents, rounding and layout.
struct PackCacheKey: Codable, Equatable {
  let fingerprint: String
  let numericClass: String
  let layoutVersion: Int
  let layout: String
  /// See ``PackedLayout/probe(_:_:)``, for the types of this model.
  let layoutProbe: String

  init(
    fingerprint: String, numericClass: NumericClass, types: [WeightType]
  ) throws(KernelError) {
    self.fingerprint = fingerprint
    self.numericClass = numericClass.rawValue
    layoutVersion = PackedLayout.version
    layout = PackedLayout.name(numericClass)
    layoutProbe = hexadecimal(try PackedLayout.probe(types, numericClass))
  }

  static let suffix = ".martlet-pack"

  /// `5f3a…-portable-tiles-16.1-0c1d….martlet-pack`
  var fileName: String {
    "\(fingerprint)-\(numericClass)-\(layout).\(layoutVersion)-\(layoutProbe.prefix(8))"
      + Self.suffix
  }
}

/// The directory of a pack file.
///
/// A pack file starts with a ``PackCachePrelude``; matrices follow, each on a page boundary; the
/// index as JSON is the last thing.
struct PackCacheIndex: Codable, Equatable {
  struct Entry: Codable, Equatable {
    let name: String
    let type: UInt32
    let outputs: Int
    let depth: Int
    let offset: Int
    let bytes: Int
    /// Of the packed bytes and of the model file's, as hexadecimal digits.
    let checksum: String
    let sourceChecksum: String
  }

  /// Grows when this struct or the order of the file changes.
  static let currentFormat = 1

  var format = Self.currentFormat
  let key: PackCacheKey
  /// The model's name and the file it was packed from, for lists.
  let model: String
  let source: String
  var entries: [Entry] = []
}

/// The first 64 bytes of a pack file: where its index is.
struct PackCachePrelude: Equatable {
  static let byteCount = 64
  private static let magic = Array("MLTPACK1".utf8)

  var indexOffset: Int
  var indexBytes: Int
  var indexChecksum: UInt64
  var fileBytes: Int

  init(indexOffset: Int, index: [UInt8]) {
    self.indexOffset = indexOffset
    indexBytes = index.count
    indexChecksum = index.withUnsafeBytes { Checksum.xxh64($0) }
    fileBytes = indexOffset + index.count
  }

  /// nil when the bytes are no sound prelude.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount, Array(bytes.prefix(8)) == Self.magic else { return nil }
    let words = (1..<8).map { word in
      (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[word * 8 + $1]) << UInt64(8 * $1) }
    }
    let sum = bytes.prefix(Self.byteCount - 8).withUnsafeBytes { Checksum.xxh64($0) }
    guard words[6] == sum, let offset = Int(exactly: words[0]), let count = Int(exactly: words[1]),
      let size = Int(exactly: words[3]), offset >= Self.byteCount, offset <= size,
      count == size - offset
    else { return nil }
    indexOffset = offset
    indexBytes = count
    indexChecksum = words[2]
    fileBytes = size
  }

  var bytes: [UInt8] {
    var out = Self.magic
    for word in [UInt64(indexOffset), UInt64(indexBytes), indexChecksum, UInt64(fileBytes), 0, 0] {
      out += (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) }
    }
    let sum = out.withUnsafeBytes { Checksum.xxh64($0) }
    return out + (0..<8).map { UInt8(truncatingIfNeeded: sum >> UInt64(8 * $0)) }
  }
}

/// Sixteen hexadecimal digits.
func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
