/// A set of Unicode scalars, as sorted ranges that do not touch. Surrogates are in no set.
struct ScalarSet: Equatable, Sendable {
  private(set) var ranges: [ClosedRange<UInt32>]

  /// The union of ranges in any order.
  init(_ parts: [ClosedRange<UInt32>]) {
    ranges = []
    for part in Self.withoutSurrogates(parts).sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = ranges.last, part.lowerBound <= last.upperBound + 1 {
        ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, part.upperBound)
      } else {
        ranges.append(part)
      }
    }
  }

  init(_ scalar: Unicode.Scalar) { self.init([scalar.value...scalar.value]) }

  static let all = ScalarSet([0...0x10FFFF])

  var isEmpty: Bool { ranges.isEmpty }

  func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

  var complement: ScalarSet {
    var gaps: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in ranges {
      if range.lowerBound > next { gaps.append(next...range.lowerBound - 1) }
      next = range.upperBound + 1
    }
    if next <= 0x10FFFF { gaps.append(next...0x10FFFF) }
    return ScalarSet(gaps)
  }

  func intersection(_ other: ScalarSet) -> ScalarSet {
    complement.union(other.complement).complement
  }

  func subtracting(_ other: ScalarSet) -> ScalarSet { intersection(other.complement) }

  func contains(_ scalar: Unicode.Scalar) -> Bool {
    ranges.contains { $0.contains(scalar.value) }
  }

  private static func withoutSurrogates(
    _ parts: [ClosedRange<UInt32>]
  ) -> [ClosedRange<UInt32>] {
    parts.flatMap { part -> [ClosedRange<UInt32>] in
      guard part.overlaps(0xD800...0xDFFF) else { return [part] }
      var kept: [ClosedRange<UInt32>] = []
      if part.lowerBound < 0xD800 { kept.append(part.lowerBound...0xD7FF) }
      if part.upperBound > 0xDFFF { kept.append(0xE000...part.upperBound) }
      return kept
    }
  }
}

/// How scalars become bytes.
enum UTF8Sequences {
  /// The UTF-8 of a range without surrogates, as sequences of byte ranges: each sequence stands for
  /// the product of its ranges. Source: the splitting used by RE2 and Rust's utf8-ranges.
  static func of(_ range: ClosedRange<UInt32>) -> [[ClosedRange<UInt8>]] {
    var result: [[ClosedRange<UInt8>]] = []
    var pending = [range]
    while let part = pending.popLast() {
      if let split = splitPoint(part) {
        // The lower half is taken first, so that the sequences come in order.
        pending.append(split + 1...part.upperBound)
        pending.append(part.lowerBound...split)
        continue
      }
      let low = bytes(part.lowerBound)
      let high = bytes(part.upperBound)
      result.append(zip(low, high).map { $0...$1 })
    }
    return result
  }

  /// Where a range must be cut so that each half is one product of byte ranges; nil when it is one.
  private static func splitPoint(_ range: ClosedRange<UInt32>) -> UInt32? {
    for last: UInt32 in [0x7F, 0x7FF, 0xFFFF]
    where range.lowerBound <= last && range.upperBound > last {
      return last
    }
    guard range.upperBound > 0x7F else { return nil }
    for i in 1..<UInt32(bytes(range.upperBound).count) {
      let mask = (UInt32(1) << (6 * i)) - 1
      guard range.lowerBound & ~mask != range.upperBound & ~mask else { continue }
      if range.lowerBound & mask != 0 { return range.lowerBound | mask }
      if range.upperBound & mask != mask { return (range.upperBound & ~mask) - 1 }
    }
    return nil
  }

  private static func bytes(_ scalar: UInt32) -> [UInt8] {
    // Surrogates are in no set, so every bound is a scalar.
    Array(String(Unicode.Scalar(scalar)!).utf8)
  }
}
