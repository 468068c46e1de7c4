/// Where pages of keys and values lie when it is not memory of their own: a file, as a rule.
///
/// Advice changes no content and may be ignored. Called from the slab's threads.
public protocol KVBacking: AnyObject, Sendable {
  /// Bytes that it has in all.
  var byteCount: Int { get }
  /// The next `byteCount` bytes of it, zero; the block keeps this alive.
  /// - Throws: `KernelError` `.memory` when they are not there.
  func block(byteCount: Int) throws(KernelError) -> AlignedMemory
  /// Says that stretches of memory will be read soon: they are fetched while nobody waits for them.
  func prefetch(_ stretches: [UnsafeRawBufferPointer])
  /// Says that a stretch will be read seldom: it goes first when memory is short.
  func cool(_ stretch: UnsafeRawBufferPointer)
}

extension KVSlab {
  /// Whether pages lie in a file or the like, from which reading may have to wait.
  public var isMapped: Bool { backing != nil }

  /// Says of pages that single positions of them will be read at most.
  public func cool(pages: some Sequence<Int>) {
    guard let backing else { return }
    for page in pages {
      backing.cool(
        UnsafeRawBufferPointer(start: pointer(page: page, layer: 0), count: bytesPerPage))
    }
  }

  /// Has keys and values of single positions fetched: `positions` of a sequence whose pages are `table`,
  /// ascending, of one layer and head. Pages are turned. Nothing where pages lie in memory.
  public func prefetch(_ positions: [UInt32], table: [Int32], layer: Int, kvHead: Int) {
    guard let backing else { return }
    let bits =
      switch type {
      case .f32: 32
      case .f16, .bf16: 16
      case .int8: 8
      case .int4: 4
      }
    // As `martlet_kv_layout` says; what is missed is only slower.
    let keyBytes = headDimensions * bits / 8
    let valueBytes = (headDimensions + 15) / 16 * 16 * bits / 8
    let values = kvHeads * keyBytes * Self.pageTokens
    let scales = values + kvHeads * valueBytes * Self.pageTokens
    var stretches: [UnsafeRawBufferPointer] = []
    /// Where the last stretch of keys, values and scales ends.
    var ends: [UnsafeRawPointer?] = [nil, nil, nil]
    func add(_ kind: Int, _ start: UnsafeRawPointer, _ count: Int) {
      let unit = 4096
      let first = UnsafeRawPointer(bitPattern: UInt(bitPattern: start) / UInt(unit) * UInt(unit))!
      guard ends[kind].map({ first >= $0 }) ?? true else { return }
      let length = (start + count - first + unit - 1) / unit * unit
      stretches.append(UnsafeRawBufferPointer(start: first, count: length))
      ends[kind] = first + length
    }
    for position in positions {
      let (page, slot) = (Int(position) / Self.pageTokens, Int(position) % Self.pageTokens)
      guard page < table.count else { continue }
      let base = UnsafeRawPointer(pointer(page: Int(table[page]), layer: layer))
      // Neighbours in one page of memory come together; another page of the table starts anew.
      if slot == 0 || ends[0].map({ $0 < base || $0 > base + bytesPerLayer }) ?? true {
        ends = [nil, nil, nil]
      }
      add(0, base + (kvHead * Self.pageTokens + slot) * keyBytes, keyBytes)
      add(1, base + values + (kvHead * Self.pageTokens + slot) * valueBytes, valueBytes)
      if scales < bytesPerLayer { add(2, base + scales, bytesPerLayer - scales) }
    }
    backing.prefetch(stretches)
  }
}
