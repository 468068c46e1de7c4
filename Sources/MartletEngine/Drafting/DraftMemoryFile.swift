import Foundation
import MartletKernels
import MartletModel

/// A memory of generated text as bytes: what followed which contexts, and how far such guesses can be
/// trusted.
///
/// All numbers are little-endian:
///
/// | bytes | |
/// | ---: | --- |
/// | 8 | `MARTDRFT` |
/// | 4 | version, 2 |
/// | 4 | numbers that say what was learned |
/// | 8 | fingerprint of the vocabulary |
/// | 8 | number of entries |
/// | 4 × numbers | hits and trials of every rate, then weights, float32 each |
/// | 48 × entries | hash of the context, four tokens (-1 for none), and of 16 bits four counts, four least \
/// and four greatest random numbers |
/// | 8 | XXH64 of everything before |
///
/// Contexts are stored as hashes, but the tokens that followed are there to read: such a file is as
/// private as the text it was made from. It is bound to the vocabulary, because tokens and hashes mean
/// nothing in another one; not to the model, because models of one family write alike, rates correct
/// themselves, and no guess can change a text.
enum DraftMemoryFile {
  private static let magic = Array("MARTDRFT".utf8)
  private static let version: UInt32 = 2
  private static let headerBytes = 32
  private static let entryBytes = ContinuationIndex.entryBytes

  /// What is wrong with a file's bytes.
  struct Damage: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }

  static func bytes(of memory: DraftMemory, vocabulary: UInt64) -> [UInt8] {
    let entries = memory.index.all
    let numbers = memory.calibration.numbers
    var bytes: [UInt8] = []
    bytes.reserveCapacity(
      headerBytes + numbers.count * 4 + entries.count * entryBytes + 8)
    bytes += magic
    bytes.append(littleEndian: version)
    bytes.append(littleEndian: UInt32(numbers.count))
    bytes.append(littleEndian: vocabulary)
    bytes.append(littleEndian: UInt64(entries.count))
    for number in numbers { bytes.append(littleEndian: number.bitPattern) }
    for entry in entries {
      bytes.append(littleEndian: entry.key)
      for i in 0..<4 { bytes.append(littleEndian: UInt32(bitPattern: entry.tokens[i])) }
      for numbers in [entry.counts, entry.least, entry.greatest] {
        for i in 0..<4 { bytes.append(littleEndian: numbers[i]) }
      }
    }
    bytes.append(littleEndian: bytes.withUnsafeBytes { Checksum.xxh64($0) })
    return bytes
  }

  /// The memory that `bytes` hold, of at most `limit` entries a generation; the oldest go first.
  static func memory(
    _ bytes: [UInt8], vocabulary: UInt64, vocabularySize: Int, limit: Int
  ) throws(Damage) -> DraftMemory {
    guard bytes.count >= headerBytes + 8, bytes.starts(with: magic) else {
      throw Damage("it is no memory of drafts")
    }
    var reader = LittleEndianReader(bytes: bytes, offset: magic.count)
    let version: UInt32 = reader.next()
    guard version == Self.version else {
      throw Damage("it has version \(version), and this program reads \(Self.version)")
    }
    let numberCount: UInt32 = reader.next()
    let fingerprint: UInt64 = reader.next()
    let entryCount: UInt64 = reader.next()
    guard numberCount == DraftCalibration.numberCount, entryCount < 1 << 32,
      bytes.count
        == headerBytes + Int(numberCount) * 4 + Int(entryCount) * entryBytes + 8
    else { throw Damage("its length is not what its header says; it was cut or damaged") }
    var end = LittleEndianReader(bytes: bytes, offset: bytes.count - 8)
    let stated: UInt64 = end.next()
    guard bytes.withUnsafeBytes({ Checksum.xxh64(.init(rebasing: $0.dropLast(8))) }) == stated
    else { throw Damage("its checksum is wrong") }
    guard fingerprint == vocabulary else {
      throw Damage("it was written with another tokenizer")
    }
    return try content(&reader, Int(entryCount), vocabularySize, limit)
  }

  /// What was learned, and entries; what no writer would have written is damage too, whatever the checksum.
  private static func content(
    _ reader: inout LittleEndianReader, _ entryCount: Int, _ vocabularySize: Int, _ limit: Int
  ) throws(Damage) -> DraftMemory {
    let numbers = (0..<DraftCalibration.numberCount).map { _ in Float(bitPattern: reader.next()) }
    guard let calibration = DraftCalibration(numbers: numbers) else {
      throw Damage("what it learned is impossible")
    }
    var memory = DraftMemory(calibration, limit: limit)
    for index in 0..<entryCount {
      let key: UInt64 = reader.next()
      var tokens = SIMD4<Int32>()
      var (counts, least, greatest) = (SIMD4<UInt16>(), SIMD4<UInt16>(), SIMD4<UInt16>())
      for i in 0..<4 { tokens[i] = Int32(bitPattern: reader.next()) }
      for i in 0..<4 { counts[i] = reader.next() }
      for i in 0..<4 { least[i] = reader.next() }
      for i in 0..<4 { greatest[i] = reader.next() }
      for i in 0..<4 {
        // A count may have faded to 0.
        guard tokens[i] < vocabularySize, tokens[i] >= (counts[i] > 0 ? 0 : -1) else {
          throw Damage("entry \(index) has the token \(tokens[i]) \(counts[i]) times")
        }
      }
      guard key != 0, counts != .zero else { throw Damage("entry \(index) is empty") }
      memory.index.insert(key, tokens, counts, least: least, greatest: greatest)
    }
    return memory
  }
}
