import CMartlet

/// What an index of retrieval attention is like; the same for a whole model.
public struct RetrievalShape: Sendable, Hashable {
  public let headDimensions: Int
  /// Codes of four bits per position: a multiple of 8. 32 make 16 bytes.
  public let nibbles: Int

  /// A shape.
  /// - Throws: `KernelError` `.argument` for an impossible one.
  public init(headDimensions: Int, nibbles: Int = 32) throws(KernelError) {
    guard (1...256).contains(headDimensions), (8...256).contains(nibbles), nibbles % 8 == 0 else {
      throw KernelError(
        .argument,
        "an index of \(nibbles) nibbles over \(headDimensions) dimensions is not possible; give "
          + "8, 16, … 256 nibbles and at most 256 dimensions")
    }
    self.headDimensions = headDimensions
    self.nibbles = nibbles
  }

  var cShape: martlet_retrieve_shape {
    martlet_retrieve_shape(
      size: UInt32(MemoryLayout<martlet_retrieve_shape>.size),
      head_dimensions: UInt32(headDimensions), nibbles: UInt32(nibbles))
  }

  /// Bytes of a codebook.
  public var codebookBytes: Int { with(martlet_retrieve_codebook_bytes) }
  /// Bytes that a page of one head takes in each part.
  public func bytes(of part: RetrievalPart) -> Int {
    switch part {
    case .codes: with(martlet_retrieve_codes_bytes)
    case .bounds: with(martlet_retrieve_bounds_bytes)
    }
  }

  var preparedBytes: Int { with(martlet_retrieve_query_bytes) }
  var fitBytes: Int { with(martlet_retrieve_fit_scratch) }

  private func with(_ size: (UnsafePointer<martlet_retrieve_shape>?) -> Int) -> Int {
    withUnsafePointer(to: cShape) { size($0) }
  }
}

/// What an index keeps of a page.
public enum RetrievalPart: Int, Sendable, CaseIterable {
  /// Four bits per nibble and position: what a scan of all positions reads.
  case codes
  /// The box around a page's keys: upper bounds of all scores in it.
  case bounds
}

/// What a layer's key-value head codes its keys with: fitted once to keys and queries, then fixed.
public final class RetrievalCodebook: Sendable {
  public let shape: RetrievalShape
  let memory: AlignedMemory

  /// Fits a codebook to stored keys and to queries of the heads that read them.
  ///
  /// - Parameters:
  ///   - pages: full pages of `slab`, at least one; 128 spread over them are read.
  ///   - queries: rows of query heads × head dimensions, rotated as they meet the keys; a row for
  ///     each of some positions. Nil: keys alone decide, which finds fewer.
  /// - Throws: `KernelError` `.argument` for keys or queries that are not finite, `.memory`.
  /// - Complexity: about 80 ms for 128 dimensions; heads may be fitted on many threads.
  public init(
    fitting shape: RetrievalShape, to slab: KVSlab, layer: Int, kvHead: Int, pages: [Int32],
    queries: FloatMatrix?
  ) throws(KernelError) {
    guard shape.headDimensions == slab.headDimensions else {
      throw KernelError(
        .argument,
        "an index over \(shape.headDimensions) dimensions for keys of \(slab.headDimensions)")
    }
    guard !pages.isEmpty else {
      throw KernelError(.argument, "no page to fit a codebook to; wait until one is full")
    }
    precondition((0..<slab.kvHeads).contains(kvHead), "key-value head \(kvHead)")
    self.shape = shape
    memory = try AlignedMemory(byteCount: shape.codebookBytes)
    let scratch = try AlignedMemory(byteCount: shape.fitBytes)
    let addresses = pages.map {
      UnsafeRawPointer?(slab.pointer(page: Int($0), layer: layer))
    }
    let turned = pages.map { UInt8(slab.isTurned(Int($0)) ? 1 : 0) }
    let sample = Self.sample(queries, slab, kvHead)
    let status = withUnsafePointer(to: shape.cShape) { shape in
      withUnsafePointer(to: slab.cLayout) { layout in
        addresses.withUnsafeBufferPointer { addresses in
          sample.withUnsafeBufferPointer { sample in
            var arguments = martlet_retrieve_fit_arguments()
            arguments.size = UInt32(MemoryLayout<martlet_retrieve_fit_arguments>.size)
            arguments.kv_head = UInt32(kvHead)
            arguments.shape = shape
            arguments.layout = layout
            arguments.pages = addresses.baseAddress
            arguments.page_count = addresses.count
            arguments.queries = sample.baseAddress
            arguments.query_stride = slab.headDimensions
            arguments.query_count = sample.count / slab.headDimensions
            return turned.withUnsafeBufferPointer { turned in
              arguments.turned = turned.baseAddress
              return martlet_retrieve_fit(&arguments, scratch.base, memory.base)
            }
          }
        }
      }
    }
    guard status == MARTLET_OK else {
      throw KernelError(
        .argument, "keys or queries of layer \(layer), head \(kvHead) are not finite numbers")
    }
  }

  /// Queries of the group that reads `kvHead`, one after another; enough for a fit.
  private static func sample(_ queries: FloatMatrix?, _ slab: KVSlab, _ kvHead: Int) -> [Float] {
    guard let queries, queries.rows > 0 else { return [] }
    let dimensions = slab.headDimensions
    let group = queries.columns / dimensions / slab.kvHeads
    precondition(
      group > 0 && queries.columns == group * dimensions * slab.kvHeads,
      "\(queries.columns) columns of queries for \(slab.kvHeads) key-value heads")
    let rows = min(queries.rows, max(1, 1024 / group))
    var sample: [Float] = []
    sample.reserveCapacity(rows * group * dimensions)
    for row in 0..<rows {
      let from = queries.base + row * queries.rows / rows * queries.stride
      sample += UnsafeBufferPointer(
        start: from + kvHead * group * dimensions, count: group * dimensions)
    }
    return sample
  }
}

/// Storage of an index's parts, page by page beside a `KVSlab`: what belongs to page p of the slab is
/// at p here, so forks that share a page share its codes and nothing is copied.
///
/// Grows in chunks and never moves. `reserve` belongs to one thread at a time; pages, layers and heads
/// may be encoded on many threads, searches read on many. `@unchecked Sendable` by that rule.
public final class RetrievalSlab: @unchecked Sendable {
  public let shape: RetrievalShape
  public let layers: Int
  public let kvHeads: Int
  public let parts: Set<RetrievalPart>
  /// Bytes of one page over all layers, heads and parts.
  public let bytesPerPage: Int
  /// Pages that exist.
  public private(set) var pages = 0

  private let pagesPerChunk: Int
  private let byteLimit: Int
  private let placement: MemoryPlacement?
  private var chunks: [AlignedMemory] = []

  /// An empty slab.
  /// - Parameters:
  ///   - byteLimit: the most that `reserve` will take.
  /// - Throws: `KernelError` `.argument` for an impossible shape.
  public init(
    shape: RetrievalShape, layers: Int, kvHeads: Int,
    parts: Set<RetrievalPart> = [.codes], byteLimit: Int = .max, placement: MemoryPlacement? = nil
  ) throws(KernelError) {
    let each = parts.reduce(0) { $0 + shape.bytes(of: $1) }
    guard let total = checkedProduct(each, layers, kvHeads), total > 0 else {
      throw KernelError(
        .argument,
        "an index of \(layers) layers, \(kvHeads) heads and \(parts.count) parts is not possible")
    }
    self.shape = shape
    self.layers = layers
    self.kvHeads = kvHeads
    self.parts = parts
    self.byteLimit = byteLimit
    self.placement = placement
    bytesPerPage = total
    pagesPerChunk = max(1, (32 << 20) / total)
  }

  /// Makes pages `0 ..< count` exist.
  /// - Throws: `KernelError` `.memory` when that passes the limit or the system refuses.
  public func reserve(_ count: Int) throws(KernelError) {
    while pages < count {
      guard let bytes = checkedProduct(pages + pagesPerChunk, bytesPerPage), bytes <= byteLimit
      else {
        throw KernelError(
          .memory,
          "an index of \(count) pages of \(bytesPerPage) bytes is more than the limit of "
            + "\(byteLimit) bytes; it needs \(count * bytesPerPage)")
      }
      let chunk = try AlignedMemory(byteCount: pagesPerChunk * bytesPerPage)
      placement?(chunk)
      chunks.append(chunk)
      pages += pagesPerChunk
    }
  }

  /// Encodes the first `slots` positions of one head of a page of `slab`: when the page is full, or
  /// again and again as it fills. The page may be turned.
  /// - Complexity: about 6 µs for 128 dimensions and 32 nibbles.
  public func encode(
    page: Int, layer: Int, kvHead: Int, slots: Int = KVSlab.pageTokens, of slab: KVSlab,
    codebook: RetrievalCodebook
  ) {
    precondition(codebook.shape == shape, "a codebook of another shape")
    precondition((0..<kvHeads).contains(kvHead) && kvHeads == slab.kvHeads, "head \(kvHead)")
    precondition((1...KVSlab.pageTokens).contains(slots), "\(slots) slots of a page")
    var layout = slab.cLayout
    let offset = { (part: RetrievalPart) -> UnsafeMutableRawPointer? in
      self.parts.contains(part)
        ? self.base(page: page, part: part) + self.offset(layer: layer, kvHead: kvHead, part: part)
        : nil
    }
    martlet_retrieve_encode(
      codebook.memory.base, &layout, slab.pointer(page: page, layer: layer),
      slab.isTurned(page) ? 1 : 0, UInt32(kvHead), UInt32(slots), offset(.codes), offset(.bounds)
    ).expectSuccess("martlet_retrieve_encode")
  }

  /// Bytes that a page of one head takes in a part.
  private func bytes(of part: RetrievalPart) -> Int { shape.bytes(of: part) }

  /// From a head to the next.
  func stride(of part: RetrievalPart) -> Int { pagesPerChunk * bytes(of: part) }

  /// Of layer 0 and head 0. Within a chunk pages of one part, layer and head are neighbours, so that
  /// a scan reads on.
  func base(page: Int, part: RetrievalPart) -> UnsafeMutableRawPointer {
    precondition(page >= 0 && page < pages, "page \(page) of \(pages)")
    let before = RetrievalPart.allCases.prefix(part.rawValue).reduce(0) {
      $0 + (parts.contains($1) ? bytes(of: $1) : 0)
    }
    return chunks[page / pagesPerChunk].base
      + (before * layers * kvHeads * pagesPerChunk + page % pagesPerChunk * bytes(of: part))
  }

  /// From layer 0 and head 0 to others, the same for all pages.
  func offset(layer: Int, kvHead: Int, part: RetrievalPart) -> Int {
    precondition((0..<layers).contains(layer), "layer \(layer) of \(layers)")
    return (layer * kvHeads + kvHead) * stride(of: part)
  }
}
