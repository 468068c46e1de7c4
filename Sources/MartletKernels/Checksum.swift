/// XXH64, which finds accidental damage at the speed of memory. It is no defence against forgery.
///
/// Source: xxHash by Yann Collet, specification 0.1.1.
public enum Checksum {
  /// XXH64 of `bytes`. Linear; about 20 GB/s on one core.
  public static func xxh64(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    guard let base = bytes.baseAddress else { return finish(seed &+ prime5, nil, 0) }
    let count = bytes.count
    var hash: UInt64
    var place = 0
    if count >= 32 {
      var a = seed &+ prime1 &+ prime2
      var b = seed &+ prime2
      var c = seed
      var d = seed &- prime1
      while place &+ 32 <= count {
        a = round(a, word(base, place))
        b = round(b, word(base, place &+ 8))
        c = round(c, word(base, place &+ 16))
        d = round(d, word(base, place &+ 24))
        place &+= 32
      }
      hash = rotate(a, 1) &+ rotate(b, 7) &+ rotate(c, 12) &+ rotate(d, 18)
      for lane in [a, b, c, d] { hash = (hash ^ round(0, lane)) &* prime1 &+ prime4 }
    } else {
      hash = seed &+ prime5
    }
    return finish(hash &+ UInt64(count), base + place, count - place)
  }

  /// Checksum of `bytes` cut into pieces of half a mebibyte, so that a team can share the work:
  /// XXH64 of the pieces' XXH64s.
  public static func ofPieces(
    _ bytes: UnsafeRawBufferPointer, team: (any ParallelFor)? = nil
  ) -> UInt64 {
    let piece = 512 << 10
    let count = (bytes.count + piece - 1) / piece
    let sums = Sums(count: count)
    let lent = LentBytes(bytes)
    (team ?? SerialFor()).split(count) { range in
      for index in range {
        sums.set(index, xxh64(lent[index * piece..<min(lent.count, (index + 1) * piece)]))
      }
    }
    return sums.checksum()
  }

  /// Checksums of pieces, written by several workers.
  ///
  /// `@unchecked Sendable`: each piece belongs to one worker, and the team's `run` waits for all
  /// before anything is read.
  final class Sums: @unchecked Sendable {
    private let values: UnsafeMutableBufferPointer<UInt64>

    init(count: Int) {
      values = .allocate(capacity: count)
      values.initialize(repeating: 0)
    }

    deinit { values.deallocate() }

    func set(_ piece: Int, _ sum: UInt64) { values[piece] = sum.littleEndian }

    func checksum() -> UInt64 { xxh64(UnsafeRawBufferPointer(values)) }
  }

  private static let prime1: UInt64 = 0x9e37_79b1_85eb_ca87
  private static let prime2: UInt64 = 0xc2b2_ae3d_27d4_eb4f
  private static let prime3: UInt64 = 0x1656_67b1_9e37_79f9
  private static let prime4: UInt64 = 0x85eb_ca77_c2b2_ae63
  private static let prime5: UInt64 = 0x27d4_eb2f_1656_67c5

  /// The last bytes, fewer than 32.
  private static func finish(
    _ start: UInt64, _ base: UnsafeRawPointer?, _ count: Int
  ) -> UInt64 {
    var hash = start
    if let base {
      var place = 0
      while place + 8 <= count {
        hash = rotate(hash ^ round(0, word(base, place)), 27) &* prime1 &+ prime4
        place += 8
      }
      if place + 4 <= count {
        let half = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: place, as: UInt32.self))
        hash = rotate(hash ^ (UInt64(half) &* prime1), 23) &* prime2 &+ prime3
        place += 4
      }
      while place < count {
        let byte = base.load(fromByteOffset: place, as: UInt8.self)
        hash = rotate(hash ^ (UInt64(byte) &* prime5), 11) &* prime1
        place += 1
      }
    }
    hash = (hash ^ (hash >> 33)) &* prime2
    hash = (hash ^ (hash >> 29)) &* prime3
    return hash ^ (hash >> 32)
  }

  @inline(__always)
  private static func word(_ base: UnsafeRawPointer, _ place: Int) -> UInt64 {
    UInt64(littleEndian: base.loadUnaligned(fromByteOffset: place, as: UInt64.self))
  }

  @inline(__always)
  private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    rotate(lane &+ word &* prime2, 31) &* prime1
  }

  @inline(__always)
  private static func rotate(_ value: UInt64, _ bits: UInt64) -> UInt64 {
    (value << bits) | (value >> (64 - bits))
  }
}

/// Bytes lent to the workers of one parallel loop, which only read them.
///
/// `@unchecked Sendable`: the lender keeps them alive and unchanged until the loop ends.
struct LentBytes: @unchecked Sendable {
  private let bytes: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var count: Int { bytes.count }

  subscript(range: Range<Int>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[range])
  }
}
