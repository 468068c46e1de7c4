/// Where pages of keys and values lie when it is not memory of their own: a file, as a rule.
///
/// Advice changes no content and may be ignored. Called from the slab's threads.
public protocol KVBacking: AnyObject, Sendable {
  /// Bytes that it has in all.
  var byteCount: Int { get }
  /// What reading takes, as measured.
  var readingCost: KVReadingCost { get }
  /// The next `byteCount` bytes of it, zero; the block keeps this alive.
  /// - Throws: `KernelError` `.memory` when they are not there.
  func block(byteCount: Int) throws(KernelError) -> AlignedMemory
  /// Says that a stretch of memory will be read soon: it is fetched while nobody waits for it.
  func prefetch(_ stretch: UnsafeRawBufferPointer)
  /// Says that a stretch will be read seldom: it goes first when memory is short.
  func cool(_ stretch: UnsafeRawBufferPointer)
}

/// What it takes to fetch 4 KiB, in seconds.
public struct KVReadingCost: Sendable, Equatable {
  /// Of blocks here and there, asked for one by one.
  public var scattered: Double
  /// Of blocks that follow each other, asked for together.
  public var inOrder: Double

  public init(scattered: Double, inOrder: Double) {
    self.scattered = scattered
    self.inOrder = inOrder
  }

  /// Whether all of `count` blocks in order are fetched sooner than `wanted` of them.
  public func prefersAll(of count: Int, wanted: Int) -> Bool {
    Double(count) * inOrder <= Double(wanted) * scattered
  }
}

/// What lies together on a device.
public enum KVSide: Sendable, CaseIterable {
  case keys, values
}

extension KVSlab {
  /// What a device reads at least.
  static let blockBytes = 4096

  /// Whether pages lie in a file or the like, from which reading may have to wait.
  public var isMapped: Bool { backing != nil }

  /// What reading takes; nil where pages lie in memory.
  public var readingCost: KVReadingCost? { backing?.readingCost }

  /// Says of pages that single positions of their values will be read at most. Keys, which are ranked by for
  /// every token, stay.
  public func cool(pages: some Sequence<Int>) {
    guard let backing else { return }
    let pages = Array(pages)
    for layer in 0..<layers {
      for stretch in stretches(.values, layer: layer, pages: pages) { backing.cool(stretch) }
    }
  }

  /// How many blocks one side of a layer of `pages` takes.
  public func blocks(_ side: KVSide, pages: Int) -> Int {
    let bytes = side == .keys ? geometry.keyBytes : geometry.valueBytes
    return (pages * bytes + Self.blockBytes - 1) / Self.blockBytes
  }

  /// One side of a layer of pages, in stretches as long as there are.
  public func stretches(
    _ side: KVSide, layer: Int, pages: [Int]
  ) -> [UnsafeRawBufferPointer] {
    let offset = side == .keys ? 0 : geometry.valueOffset
    let bytes = side == .keys ? geometry.keyBytes : geometry.valueBytes
    let addresses = pages.map { UInt(bitPattern: pointer(page: $0, layer: layer)) + UInt(offset) }
    return Self.joined(addresses.sorted().map { $0..<$0 + UInt(bytes) })
  }

  /// The blocks that single positions of one side of a layer lie in, with the neighbours joined.
  ///
  /// - Parameter places: of pages that are turned, in any order.
  public func stretches(
    _ side: KVSide, layer: Int, places: [(page: Int, slot: Int, kvHead: Int)]
  ) -> [UnsafeRawBufferPointer] {
    let unit = UInt(Self.blockBytes)
    let offset = side == .keys ? 0 : geometry.valueOffset
    let bytes = side == .keys ? geometry.keyRowBytes : geometry.valueRowBytes
    let (scales, end) =
      side == .keys
      ? (geometry.pieces[0].count, geometry.keyBytes)
      : (geometry.pieces[1].count, geometry.valueBytes)
    var blocks: [Range<UInt>] = []
    blocks.reserveCapacity(places.count)
    func add(_ start: UInt, _ count: Int) {
      blocks.append(start / unit * unit..<(start + UInt(count) + unit - 1) / unit * unit)
    }
    for (page, slot, kvHead) in places {
      let base = UInt(bitPattern: pointer(page: page, layer: layer)) + UInt(offset)
      add(base + UInt((kvHead * Self.pageTokens + slot) * bytes), bytes)
      if end > scales { add(base + UInt(scales), end - scales) }
    }
    blocks.sort { $0.lowerBound < $1.lowerBound }
    return Self.joined(blocks)
  }

  /// Has stretches fetched. On any thread.
  public func prefetch(_ stretches: some Sequence<UnsafeRawBufferPointer>) {
    guard let backing else { return }
    for stretch in stretches { backing.prefetch(stretch) }
  }

  /// Ascending ranges of addresses, with those that meet made one.
  private static func joined(_ ranges: [Range<UInt>]) -> [UnsafeRawBufferPointer] {
    var all: [Range<UInt>] = []
    for range in ranges {
      if let last = all.last, range.lowerBound <= last.upperBound {
        all[all.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
      } else {
        all.append(range)
      }
    }
    return all.map {
      UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: $0.lowerBound), count: $0.count)
    }
  }
}
