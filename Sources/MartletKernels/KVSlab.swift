import CMartlet

/// Element type of stored keys and values.
///
/// `int8` has one float16 scale per head and position, `int4` one per 32 dimensions of a head and
/// position. A scale is set when its position is written and never revised.
public enum KVType: String, Sendable, CaseIterable {
  case f32, f16, bf16, int8, int4

  var cValue: martlet_kv_type {
    switch self {
    case .f32: MARTLET_KV_F32
    case .f16: MARTLET_KV_F16
    case .bf16: MARTLET_KV_BF16
    case .int8: MARTLET_KV_I8
    case .int4: MARTLET_KV_I4
    }
  }
}

/// Storage of key-value pages: page p holds 32 positions of every layer.
///
/// Grows in chunks and never moves a page. `reserve` and `copy` belong to one thread at a time;
/// attention reads and writes pages on many threads between them. `@unchecked Sendable` by that
/// rule.
public final class KVSlab: @unchecked Sendable {
  /// Positions per page.
  public static var pageTokens: Int { Int(MARTLET_KV_PAGE_TOKENS) }

  public let type: KVType
  public let layers: Int
  public let kvHeads: Int
  public let headDimensions: Int
  /// Bytes of one page over all layers.
  public let bytesPerPage: Int
  /// Pages that exist.
  public private(set) var pages = 0

  let geometry: KVGeometry
  private let placement: MemoryPlacement?
  private let byteLimit: Int
  /// Where chunks lie; nil for memory of their own.
  let backing: (any KVBacking)?
  private var pagesPerChunk: Int { geometry.pagesPerChunk }
  private var chunks: [AlignedMemory] = []
  /// 1 where a page's keys are turned.
  private var turned: [UInt8] = []

  /// An empty slab.
  ///
  /// - Parameters:
  ///   - byteLimit: the most that `reserve` will take. A system that promises more memory than it
  ///     has would end the process later instead of refusing now.
  ///   - placement: called with each chunk of memory before it is written.
  ///   - backing: where pages lie in place of memory of their own; `placement` does not concern it.
  /// - Throws: `KernelError` `.argument` for an impossible shape.
  public init(
    type: KVType, layers: Int, kvHeads: Int, headDimensions: Int, byteLimit: Int = .max,
    placement: MemoryPlacement? = nil, backing: (any KVBacking)? = nil
  ) throws(KernelError) {
    guard layers > 0, (1...65_536).contains(kvHeads), (1...256).contains(headDimensions) else {
      throw KernelError(
        .argument,
        "a KV cache of \(layers) layers, \(kvHeads) heads of \(headDimensions) dimensions "
          + "is not possible (heads have at most 256 dimensions)")
    }
    self.type = type
    self.layers = layers
    self.kvHeads = kvHeads
    self.headDimensions = headDimensions
    self.placement = placement
    self.byteLimit = byteLimit
    self.backing = backing
    guard
      let geometry = KVGeometry(
        type, layers: layers, kvHeads: kvHeads, headDimensions: headDimensions,
        isApart: backing != nil)
    else {
      throw KernelError(.argument, "the layout of a KV page of \(type.rawValue) is refused")
    }
    self.geometry = geometry
    bytesPerPage = geometry.bytesPerPage
  }

  /// What a backing must have for pages of `byteCount` bytes in all, since pages are taken in chunks that
  /// start on pages of memory; nil for an impossible shape.
  public static func backingBytes(
    type: KVType, layers: Int, kvHeads: Int, headDimensions: Int, byteCount: Int
  ) -> Int? {
    guard
      let geometry = KVGeometry(
        type, layers: layers, kvHeads: kvHeads, headDimensions: headDimensions, isApart: true)
    else { return nil }
    let chunk = (geometry.bytesPerChunk + 65_535) / 65_536 * 65_536
    let pages = (byteCount + geometry.bytesPerPage - 1) / geometry.bytesPerPage
    let chunks = (pages + geometry.pagesPerChunk - 1) / geometry.pagesPerChunk
    return checkedProduct(chunks + 1, chunk)
  }

  /// Makes pages `0 ..< count` exist. Existing pages keep their place and content.
  /// - Throws: `KernelError` `.memory` when that passes the limit or the system refuses; pages that
  ///   were added before the refusal stay.
  public func reserve(_ count: Int) throws(KernelError) {
    guard count > pages else { return }
    guard let bytes = checkedProduct(count, bytesPerPage), bytes <= byteLimit else {
      throw KernelError(
        .memory,
        "\(count) KV pages of \(bytesPerPage) bytes are more than the limit of \(byteLimit) bytes")
    }
    while pages < count {
      let chunk: AlignedMemory
      if let backing {
        chunk = try backing.block(byteCount: geometry.bytesPerChunk)
      } else {
        chunk = try AlignedMemory(byteCount: geometry.bytesPerChunk)
        placement?(chunk)
      }
      chunks.append(chunk)
      pages += pagesPerChunk
      turned.append(contentsOf: repeatElement(0, count: pagesPerChunk))
    }
  }

  /// Copies the first `positions` positions of every layer from page `source` to page `target`.
  public func copy(from source: Int, to target: Int, positions: Int) {
    precondition((0...Self.pageTokens).contains(positions), "\(positions) positions of a page")
    guard positions > 0, source != target else { return }
    var layout = cLayout
    for layer in 0..<layers {
      martlet_kv_copy(
        &layout, pointer(page: source, layer: layer), pointer(page: target, layer: layer),
        UInt32(isTurned(source) ? Self.pageTokens : positions)
      ).expectSuccess("martlet_kv_copy")
    }
    turned[target] = turned[source]
    turnBack(page: target)
  }

  /// Copies one position of every layer from a slot of one page to a slot of the same or another:
  /// how the accepted path of a token tree moves to where plain decoding would have put it.
  public func move(from source: (page: Int, slot: Int), to target: (page: Int, slot: Int)) {
    for (page, slot) in [source, target] {
      precondition((0..<Self.pageTokens).contains(slot), "slot \(slot) of a page")
      turnBack(page: page)
    }
    var layout = cLayout
    for layer in 0..<layers {
      martlet_kv_move(
        &layout, pointer(page: source.page, layer: layer), UInt32(source.slot),
        pointer(page: target.page, layer: layer), UInt32(target.slot)
      ).expectSuccess("martlet_kv_move")
    }
  }

  /// Stores one position's keys and values (kvHeads × headDimensions each) in a slot of a page.
  public func write(page: Int, slot: Int, layer: Int, keys: [Float], values: [Float]) {
    precondition((0..<Self.pageTokens).contains(slot), "slot \(slot) of a page")
    precondition(!isTurned(page), "page \(page) is turned; turn it back before writing to it")
    precondition(
      keys.count == kvHeads * headDimensions && values.count == keys.count,
      "\(keys.count) keys for \(kvHeads) heads of \(headDimensions)")
    var layout = cLayout
    martlet_kv_write(&layout, pointer(page: page, layer: layer), UInt32(slot), keys, values)
      .expectSuccess("martlet_kv_write")
  }

  /// One head's key and value of a slot, as they are stored: rounded to the type.
  public func read(
    page: Int, slot: Int, layer: Int, kvHead: Int, key: inout [Float], value: inout [Float]
  ) {
    precondition((0..<Self.pageTokens).contains(slot), "slot \(slot) of a page")
    precondition((0..<kvHeads).contains(kvHead), "head \(kvHead)")
    precondition(
      key.count == headDimensions && value.count == headDimensions,
      "room for \(key.count) and \(value.count) of \(headDimensions) dimensions")
    var layout = cLayout
    martlet_kv_read(
      &layout, pointer(page: page, layer: layer), isTurned(page) ? 1 : 0, UInt32(kvHead),
      UInt32(slot), &key, &value
    ).expectSuccess("martlet_kv_read")
  }

  // MARK: Pages as bytes

  /// Grows when the bytes of a page mean something else.
  public static let layoutVersion = 1

  /// All layers of a page as they were written, each in one piece: a page that is turned is turned back in
  /// the copy.
  /// - Throws: `KernelError` `.memory`.
  public func bytes(of page: Int) throws(KernelError) -> [UInt8] {
    let copy = try AlignedMemory(byteCount: bytesPerPage)
    let bytesPerLayer = geometry.bytesPerLayer
    for layer in 0..<layers {
      let source = pointer(page: page, layer: layer)
      for (place, offset, count) in geometry.pieces {
        (copy.base + layer * bytesPerLayer + place).copyMemory(
          from: source + offset, byteCount: count)
      }
    }
    guard isTurned(page) else { return copy.withBytes { [UInt8]($0) } }
    var layout = Self.layout(type, kvHeads, headDimensions)
    for layer in 0..<layers {
      for head in 0..<kvHeads {
        martlet_kv_turn_keys(&layout, copy.base + layer * bytesPerLayer, UInt32(head), 0)
          .expectSuccess("martlet_kv_turn_keys")
      }
    }
    return copy.withBytes { [UInt8]($0) }
  }

  /// Makes a page hold what `bytes(of:)` gave of another, of this slab or of one like it.
  /// - Throws: `KernelError` `.argument` for another number of bytes.
  public func fill(page: Int, with bytes: [UInt8]) throws(KernelError) {
    guard bytes.count == bytesPerPage else {
      throw KernelError(.argument, "\(bytes.count) bytes for a page of \(bytesPerPage)")
    }
    bytes.withUnsafeBytes { bytes in
      for layer in 0..<layers {
        let target = pointer(page: page, layer: layer)
        for (place, offset, count) in geometry.pieces {
          (target + offset).copyMemory(
            from: bytes.baseAddress! + layer * geometry.bytesPerLayer + place, byteCount: count)
        }
      }
    }
    turned[page] = 0
  }

  // MARK: Turned keys

  /// Whether a page's keys lie position by position, as searches rank them and attention gathers
  /// single positions; as written they lie dimension by dimension.
  public func isTurned(_ page: Int) -> Bool { turned[page] != 0 }

  /// Turns one head's keys of a page that is not turned: of all layers and heads before
  /// ``markTurned(_:)``. Heads may be turned on many threads.
  /// - Complexity: about 1 µs for 128 dimensions of two bytes.
  public func turnKeys(page: Int, layer: Int, kvHead: Int) {
    precondition(!isTurned(page), "page \(page) is turned already")
    turn(page, layer, kvHead, toRows: true)
  }

  /// Says of pages that all their heads have been turned. Belongs to one thread at a time.
  public func markTurned(_ pages: some Sequence<Int>) {
    for page in pages { turned[page] = 1 }
  }

  /// Makes a page as it was written, if it is turned. Belongs to one thread at a time.
  public func turnBack(page: Int) {
    guard isTurned(page) else { return }
    for layer in 0..<layers {
      for head in 0..<kvHeads { turn(page, layer, head, toRows: false) }
    }
    turned[page] = 0
  }

  private func turn(_ page: Int, _ layer: Int, _ kvHead: Int, toRows: Bool) {
    precondition((0..<kvHeads).contains(kvHead), "head \(kvHead)")
    var layout = cLayout
    martlet_kv_turn_keys(
      &layout, pointer(page: page, layer: layer), UInt32(kvHead), toRows ? 1 : 0
    ).expectSuccess("martlet_kv_turn_keys")
  }

  /// Where one layer's part of a page lies; valid as long as the slab.
  func pointer(page: Int, layer: Int) -> UnsafeMutableRawPointer {
    precondition(page >= 0 && page < pages, "page \(page) of \(pages)")
    return chunks[page / pagesPerChunk].base
      + (page % pagesPerChunk * geometry.pageStride + layer * geometry.layerStride)
  }

  var cLayout: martlet_kv_layout {
    Self.layout(type, kvHeads, headDimensions, valueOffset: geometry.valueOffset)
  }

  static func layout(
    _ type: KVType, _ heads: Int, _ dimensions: Int, valueOffset: Int = 0
  ) -> martlet_kv_layout {
    var layout = martlet_kv_layout()
    layout.size = UInt32(MemoryLayout<martlet_kv_layout>.size)
    layout.type = type.cValue
    layout.kv_heads = UInt32(heads)
    layout.head_dimensions = UInt32(dimensions)
    layout.value_offset = valueOffset
    return layout
  }
}
