import CMartlet

/// A graph over the keys of one layer's key-value head, built from the queries that read them: an
/// index whose searches do not look at every key.
///
/// Each key has up to 32 links, taken from what queries found together (RetrievalAttention, RoarGraph),
/// in a block with the codes of the keys that they lead to; `include/martlet/graph.h` has the method.
/// Against a scan of codes it reads less and from more places, and takes 640 bytes a key at 32 nibbles
/// where codes take 16: `martlet bench retrieve` says from how many keys on that is faster.
///
/// Forks share a graph up to a limit and search pages of their own beside it. Searches may run on many
/// threads, each with its own ``RetrievalGraphSearch``; building, inserting and truncating belong to
/// one, with no search meanwhile. `@unchecked Sendable` by that rule.
public final class RetrievalGraph: @unchecked Sendable {
  public let codebook: RetrievalCodebook
  /// Keys that it can hold.
  public let capacity: Int
  let memory: AlignedMemory

  /// An empty graph.
  /// - Throws: `KernelError` `.argument` for a capacity that is not 1 ... 2³⁰, `.memory`.
  public convenience init(codebook: RetrievalCodebook, capacity: Int) throws(KernelError) {
    let bytes = withUnsafePointer(to: codebook.shape.cShape) {
      capacity > 0 ? martlet_graph_bytes($0, capacity) : 0
    }
    guard bytes > 0 else {
      throw KernelError(.argument, "a graph of \(capacity) keys; give 1 to \(1 << 30)")
    }
    self.init(codebook, capacity, try AlignedMemory(byteCount: bytes))
    martlet_graph_create(codebook.memory.base, capacity, memory.base)
      .expectSuccess("martlet_graph_create")
  }

  private init(_ codebook: RetrievalCodebook, _ capacity: Int, _ memory: AlignedMemory) {
    (self.codebook, self.capacity, self.memory) = (codebook, capacity, memory)
  }

  /// The same graph in memory of its own.
  /// - Throws: `KernelError` `.memory`.
  public func copy() throws(KernelError) -> RetrievalGraph {
    let bytes = try AlignedMemory(byteCount: memory.byteCount)
    bytes.base.copyMemory(from: memory.base, byteCount: memory.byteCount)
    return RetrievalGraph(codebook, capacity, bytes)
  }

  /// Keys in it: positions `0 ..< count`.
  public var count: Int { martlet_graph_count(memory.base) }
  /// Bytes that it takes at its capacity.
  public var bytes: Int { memory.byteCount }

  /// Builds an empty graph over the first `pages` pages of a table, whose codes are made with the graph's
  /// codebook and whose keys are turned.
  ///
  /// - Parameters:
  ///   - queries: rows of one query head each, of any heads that read the key-value head; an eighth as
  ///     many as keys is enough. None: keys are inserted one by one.
  /// - Throws: `KernelError` `.argument` if the graph is not empty or too small, `.memory`.
  /// - Complexity: a scan of all keys per query, and about 20 µs per key.
  public func build(
    _ table: RetrievalSearch.Table, pages: Int, layer: Int, kvHead: Int, queries: FloatMatrix?
  ) throws(KernelError) {
    check(table, pages)
    precondition(table.turnedPages >= pages, "\(table.turnedPages) of \(pages) pages are turned")
    let keys = pages * KVSlab.pageTokens
    guard count == 0, keys <= capacity else {
      throw KernelError(
        .argument, "a graph of \(count) keys and room for \(capacity) cannot be built of \(keys)")
    }
    guard keys > 0 else { return }
    if let queries {
      precondition(
        queries.columns == codebook.shape.headDimensions, "queries of \(queries.columns)")
    }
    try withUnsafePointer(to: table.pages.cLayout) { layout throws(KernelError) in
      var arguments = martlet_graph_build_arguments()
      arguments.size = UInt32(MemoryLayout<martlet_graph_build_arguments>.size)
      arguments.kv_head = UInt32(kvHead)
      arguments.codebook = UnsafeRawPointer(codebook.memory.base)
      arguments.layout = layout
      arguments.pages = table.list(.codes)
      arguments.offset = table.slab.offset(layer: layer, kvHead: kvHead, part: .codes)
      arguments.key_pages = table.keys
      arguments.page_offset = layer * table.pages.geometry.layerStride
      arguments.count = keys
      arguments.queries = queries.map { UnsafePointer($0.base) }
      arguments.query_stride = queries?.stride ?? 0
      arguments.query_count = queries?.rows ?? 0
      let scratch = try AlignedMemory(byteCount: martlet_graph_build_scratch(&arguments))
      martlet_graph_build(&arguments, scratch.base, memory.base)
        .expectSuccess("martlet_graph_build")
    }
  }

  /// Adds the positions from ``count`` on, up to `end`, whose codes are there.
  /// - Throws: `KernelError` `.argument` beyond the capacity, `.memory`.
  /// - Complexity: about 30 µs each.
  public func insert(
    _ table: RetrievalSearch.Table, upTo end: Int, layer: Int, kvHead: Int
  ) throws(KernelError) {
    guard end <= capacity else {
      throw KernelError(.argument, "\(end) keys for a graph with room for \(capacity)")
    }
    guard end > count else { return }
    check(table, (end + KVSlab.pageTokens - 1) / KVSlab.pageTokens)
    let scratch = try AlignedMemory(byteCount: martlet_graph_insert_scratch(memory.base))
    martlet_graph_insert(
      memory.base, table.list(.codes),
      table.slab.offset(layer: layer, kvHead: kvHead, part: .codes), end, scratch.base
    ).expectSuccess("martlet_graph_insert")
  }

  /// Drops positions from `count` on.
  public func truncate(to count: Int) {
    precondition(count >= 0, "\(count) keys")
    martlet_graph_truncate(memory.base, count).expectSuccess("martlet_graph_truncate")
  }

  func check(_ table: RetrievalSearch.Table, _ pages: Int) {
    precondition(table.slab.shape == codebook.shape, "codes of another shape")
    precondition(table.slab.parts.contains(.codes), "an index without codes")
    precondition(pages >= 0 && pages <= table.count, "\(pages) pages of \(table.count)")
  }
}

/// Searches of graphs; one object per thread.
public final class RetrievalGraphSearch {
  /// How far a search goes, per query.
  public struct Effort: Sendable, Hashable {
    /// Keys whose links are followed: the best by their codes.
    public var expanded: Int
    /// Best by their codes that are ranked by the keys themselves.
    public var candidates: Int

    public init(expanded: Int, candidates: Int) {
      (self.expanded, self.candidates) = (expanded, candidates)
    }
  }

  private var prepared: AlignedMemory?
  private var scratch: AlignedMemory?
  private var positions: [UInt32] = []
  /// Keys whose links the last search followed.
  public private(set) var followed = 0

  public init() {}

  /// The `wanted` best positions of each query, put together: ascending, each once.
  ///
  /// - Parameters:
  ///   - queries: one query head per row; at most 64 rows.
  ///   - limit: positions of the graph from here on are not found: where a fork left what the graph is of.
  ///   - pages: of the table, behind the limit: all of their positions are scanned, a fork's own.
  /// - Throws: `KernelError` `.memory`.
  public func search(
    _ queries: FloatMatrix, rows: Range<Int>, graph: RetrievalGraph,
    table: RetrievalSearch.Table, layer: Int, kvHead: Int, limit: Int = .max,
    pages: Range<Int> = 0..<0, effort: Effort, wanted: Int
  ) throws(KernelError) -> [UInt32] {
    graph.check(table, pages.upperBound)
    queries.checkRows(rows)
    let own = min(limit, graph.count)
    precondition(rows.count <= 64, "\(rows.count) queries")
    precondition(pages.isEmpty || pages.lowerBound * KVSlab.pageTokens >= own, "pages \(pages)")
    precondition(effort.expanded > 0 && wanted >= 0, "\(effort), \(wanted) wanted")
    let turned = max(pages.upperBound, (own + KVSlab.pageTokens - 1) / KVSlab.pageTokens)
    precondition(turned <= table.turnedPages, "a ranking of pages that are not turned")
    let bytes = graph.codebook.shape.preparedBytes
    let memory = try room(&prepared, rows.count * bytes)
    let list = rows.enumerated().map { index, row in
      let place = memory.base + index * bytes
      martlet_retrieve_query(
        graph.codebook.memory.base, queries.base + row * queries.stride, place
      ).expectSuccess("martlet_retrieve_query")
      return UnsafeRawPointer?(place)
    }
    let most = min(rows.count * wanted, own + pages.count * KVSlab.pageTokens)
    if positions.count < most { positions = [UInt32](repeating: 0, count: most) }
    var arguments = martlet_graph_search_arguments()
    arguments.size = UInt32(MemoryLayout<martlet_graph_search_arguments>.size)
    arguments.query_count = UInt32(rows.count)
    arguments.graph = UnsafeRawPointer(graph.memory.base)
    arguments.limit = max(0, limit)
    arguments.pages = table.list(.codes)
    arguments.offset = table.slab.offset(layer: layer, kvHead: kvHead, part: .codes)
    arguments.page_begin = pages.lowerBound
    arguments.page_end = pages.upperBound
    arguments.key_pages = table.keys
    arguments.kv_head = UInt32(kvHead)
    arguments.page_offset = layer * table.pages.geometry.layerStride
    arguments.expanded = UInt32(effort.expanded)
    arguments.candidates = UInt32(max(0, effort.candidates))
    arguments.wanted = UInt32(wanted)
    let scratch = try room(&scratch, martlet_graph_search_scratch(&arguments))
    // Pointers live through the call, which alone uses them.
    withUnsafePointer(to: table.pages.cLayout) { layout in
      list.withUnsafeBufferPointer { list in
        positions.withUnsafeMutableBufferPointer { positions in
          arguments.layout = layout
          arguments.queries = list.baseAddress
          arguments.positions = positions.baseAddress
          martlet_graph_search(&arguments, scratch.base).expectSuccess("martlet_graph_search")
        }
      }
    }
    followed = arguments.followed
    return Array(positions[0..<arguments.found])
  }

  /// Memory of at least `bytes`, kept for the next time.
  private func room(
    _ memory: inout AlignedMemory?, _ bytes: Int
  ) throws(KernelError) -> AlignedMemory {
    if let memory, memory.byteCount >= bytes { return memory }
    let fresh = try AlignedMemory(byteCount: max(64, bytes))
    memory = fresh
    return fresh
  }
}
