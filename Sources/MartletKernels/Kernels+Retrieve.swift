import CMartlet

/// Searches for what rows of queries should attend to; one object per thread.
///
/// Use: a ``Table`` of each sequence, then `search` per layer and key-value head, then
/// `Kernels.retrievalPath` and `AttentionBatch.attend(rows:kvHead:path:…)`.
public final class RetrievalSearch {
  public let slab: RetrievalSlab

  private var prepared: AlignedMemory?
  private var scratch: AlignedMemory?
  private var positions: [UInt32] = []

  /// Where a sequence's pages are: made once per sequence, for any number of searches.
  ///
  /// `@unchecked Sendable`: addresses of the slabs' memory, which they hold and which is not written
  /// meanwhile.
  public final class Table: @unchecked Sendable {
    let slab: RetrievalSlab
    let pages: KVSlab
    public let count: Int
    /// Pages from the first on whose keys are turned: what a search can rank.
    public let turnedPages: Int
    /// Of each part, then of the keys: `count` addresses.
    private let addresses: UnsafeMutablePointer<UnsafeRawPointer?>

    fileprivate init(_ slab: RetrievalSlab, _ table: [Int32], of pages: KVSlab) {
      (self.slab, self.pages, count) = (slab, pages, table.count)
      turnedPages = table.firstIndex { !pages.isTurned(Int($0)) } ?? table.count
      let lists = RetrievalPart.allCases.count + 1
      addresses = .allocate(capacity: max(1, lists * count))
      addresses.initialize(repeating: nil, count: max(1, lists * count))
      for (index, page) in table.enumerated() {
        for part in slab.parts {
          addresses[part.rawValue * count + index] =
            UnsafeRawPointer(slab.base(page: Int(page), part: part))
        }
        addresses[(lists - 1) * count + index] =
          UnsafeRawPointer(pages.pointer(page: Int(page), layer: 0))
      }
    }

    deinit { addresses.deallocate() }

    func list(_ part: RetrievalPart) -> UnsafePointer<UnsafeRawPointer?> {
      UnsafePointer(addresses + part.rawValue * count)
    }
    var keys: UnsafePointer<UnsafeRawPointer?> {
      UnsafePointer(addresses + RetrievalPart.allCases.count * count)
    }
  }

  /// What a part of the queries looks for.
  public struct Row: Sendable {
    /// Rows of queries that search together, with all heads that read the key-value head.
    public var queries: Range<Int>
    public var table: Table
    /// Of the table; full ones, encoded with the search's codebook.
    public var pages: Range<Int>
    /// Positions per query; of pages by bounds, rounded up to 32.
    public var wanted: Int
    /// Positions per query that the scan hands on to be ranked by their keys, whose pages are turned
    /// for it; no more than wanted: no ranking.
    public var candidates: Int

    public init(
      queries: Range<Int>, table: Table, pages: Range<Int>, wanted: Int, candidates: Int = 0
    ) {
      (self.queries, self.table, self.pages) = (queries, table, pages)
      (self.wanted, self.candidates) = (wanted, candidates)
    }
  }

  /// A search over pages of `slab`.
  public init(slab: RetrievalSlab) { self.slab = slab }

  /// Which part a search reads.
  public enum Method: Sendable, Equatable {
    /// Single positions, by a scan of all codes.
    case scan
    /// Whole pages, by the bounds of their scores.
    case bounds
  }

  /// The `wanted` best positions of each of a row's queries among its pages, put together: ascending,
  /// each once. What a row finds does not depend on the others; codes of pages that they have in
  /// common are read once for all of them.
  ///
  /// - Parameter queries: rows of query heads × head dimensions.
  /// - Throws: `KernelError` `.memory`, or `.argument` for a part that the slab has not.
  /// - Complexity: one read of the codes, and two passes over two bytes per position and query.
  public func search(
    _ queries: FloatMatrix, _ rows: [Row], layer: Int, kvHead: Int, codebook: RetrievalCodebook,
    method: Method = .scan
  ) throws(KernelError) -> [[UInt32]] {
    precondition(codebook.shape == slab.shape, "a codebook of another shape")
    precondition((0..<slab.kvHeads).contains(kvHead), "head \(kvHead)")
    let part: RetrievalPart = method == .bounds ? .bounds : .codes
    guard slab.parts.contains(part) else {
      throw KernelError(.argument, "a search by \(part) needs them in the slab")
    }
    for row in rows { check(row, method) }
    guard let first = rows.first else { return [] }
    let group = group(queries)
    let bytes = slab.shape.preparedBytes
    let memory = try room(&prepared, rows.reduce(0) { $0 + $1.queries.count } * group * bytes)
    var list: [UnsafeRawPointer?] = []
    for row in rows { prepare(queries, row.queries, kvHead, group, codebook, memory, &list) }
    let rooms = rows.map { row in
      let each = method == .bounds ? row.wanted.roundedUp(to: KVSlab.pageTokens) : row.wanted
      return min(row.queries.count * group * each, row.pages.count * KVSlab.pageTokens)
    }
    let all = rooms.reduce(0, +)
    if positions.count < all { positions = [UInt32](repeating: 0, count: all) }
    var arguments = martlet_retrieve_search_arguments()
    arguments.size = UInt32(MemoryLayout<martlet_retrieve_search_arguments>.size)
    arguments.kv_head = UInt32(kvHead)
    arguments.by_bounds = method == .bounds ? 1 : 0
    arguments.offset = slab.offset(layer: layer, kvHead: kvHead, part: part)
    arguments.page_offset = layer * first.table.pages.geometry.layerStride
    return try run(&arguments, rows, list, rooms, group, first.table.pages.cLayout)
  }

  /// One row's search.
  public func search(
    _ queries: FloatMatrix, rows: Range<Int>, table: Table, layer: Int, kvHead: Int,
    codebook: RetrievalCodebook, pages: Range<Int>, method: Method = .scan, wanted: Int,
    candidates: Int = 0
  ) throws(KernelError) -> [UInt32] {
    try search(
      queries,
      [Row(queries: rows, table: table, pages: pages, wanted: wanted, candidates: candidates)],
      layer: layer, kvHead: kvHead, codebook: codebook, method: method)[0]
  }

  private func check(_ row: Row, _ method: Method) {
    precondition(row.table.slab === slab, "a table of another slab")
    precondition(
      row.pages.lowerBound >= 0 && row.pages.upperBound <= row.table.count, "pages \(row.pages)")
    precondition(row.wanted >= 0, "\(row.wanted) positions wanted")
    precondition(
      method == .bounds || row.candidates <= row.wanted
        || row.pages.upperBound <= row.table.turnedPages,
      "a ranking of pages \(row.pages), of which \(row.table.turnedPages) are turned")
  }

  /// All pointers live through the calls, which alone use them: tables by the rows, queries in
  /// `prepared`, places in `positions`.
  private func run(
    _ arguments: inout martlet_retrieve_search_arguments, _ rows: [Row],
    _ list: [UnsafeRawPointer?], _ rooms: [Int], _ group: Int, _ layout: martlet_kv_layout
  ) throws(KernelError) -> [[UInt32]] {
    let part: RetrievalPart = arguments.by_bounds != 0 ? .bounds : .codes
    var entries = [martlet_retrieve_search_row](repeating: .init(), count: rows.count)
    func with<R>(_ body: (inout martlet_retrieve_search_arguments) -> R) -> R {
      withUnsafePointer(to: layout) { layout in
        list.withUnsafeBufferPointer { list in
          positions.withUnsafeMutableBufferPointer { positions in
            entries.withUnsafeMutableBufferPointer { entries in
              var (query, place) = (0, 0)
              for (index, row) in rows.enumerated() {
                entries[index].query_count = UInt32(row.queries.count * group)
                entries[index].queries = list.baseAddress.map { $0 + query }
                entries[index].pages = row.table.list(part)
                entries[index].key_pages = row.candidates > row.wanted ? row.table.keys : nil
                entries[index].page_begin = row.pages.lowerBound
                entries[index].page_end = row.pages.upperBound
                entries[index].wanted = UInt32(row.wanted)
                entries[index].candidates = UInt32(max(0, row.candidates))
                entries[index].positions = positions.baseAddress.map { $0 + place }
                query += row.queries.count * group
                place += rooms[index]
              }
              arguments.layout = layout
              arguments.rows = entries.baseAddress
              arguments.row_count = entries.count
              return body(&arguments)
            }
          }
        }
      }
    }
    let scratch = try room(&scratch, with { martlet_retrieve_search_scratch(&$0) })
    with { martlet_retrieve_search(&$0, scratch.base) }.expectSuccess("martlet_retrieve_search")
    var place = 0
    return entries.indices.map { index in
      defer { place += rooms[index] }
      return Array(positions[place..<place + entries[index].found])
    }
  }

  private func group(_ queries: FloatMatrix) -> Int {
    let dimensions = slab.shape.headDimensions
    let group = queries.columns / dimensions / slab.kvHeads
    precondition(
      group > 0 && queries.columns == group * dimensions * slab.kvHeads,
      "\(queries.columns) columns of queries for \(slab.kvHeads) key-value heads")
    return group
  }

  /// Prepares the queries of `rows` that read `kvHead` and appends their addresses.
  private func prepare(
    _ queries: FloatMatrix, _ rows: Range<Int>, _ kvHead: Int, _ group: Int,
    _ codebook: RetrievalCodebook, _ memory: AlignedMemory, _ list: inout [UnsafeRawPointer?]
  ) {
    queries.checkRows(rows)
    for row in rows {
      for head in 0..<group {
        let place = memory.base + list.count * slab.shape.preparedBytes
        let query =
          queries.base + row * queries.stride + (kvHead * group + head) * slab.shape.headDimensions
        martlet_retrieve_query(codebook.memory.base, query, place)
          .expectSuccess("martlet_retrieve_query")
        list.append(UnsafeRawPointer(place))
      }
    }
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

extension Int {
  fileprivate func roundedUp(to step: Int) -> Int { (self + step - 1) / step * step }
}

extension RetrievalSlab {
  /// Where the pages of a sequence are: page i of `table`, of `slab`, holds positions 32·i ..<
  /// 32·(i + 1). O(pages) per part.
  public func table(_ table: [Int32], of slab: KVSlab) -> RetrievalSearch.Table {
    precondition(
      shape.headDimensions == slab.headDimensions && kvHeads == slab.kvHeads
        && layers == slab.layers, "an index of other pages")
    return RetrievalSearch.Table(self, table, of: slab)
  }
}

extension Kernels {
  /// What a row attends to: positions `0 ..< sinks`, those `found` (ascending) between, and `recent
  /// ..< end`; each once, whole pages first so that attention reads them in place.
  public static func retrievalPath(
    found: [UInt32], sinks: Int, recent: Int, end: Int
  ) -> [UInt32] {
    precondition(0 <= sinks && sinks <= recent && recent <= end && end <= Int(Int32.max))
    var count: UInt32 = 0
    return [UInt32](unsafeUninitializedCapacity: found.count + sinks + end - recent) { path, used in
      martlet_retrieve_path(
        found, found.count, UInt32(sinks), UInt32(recent), UInt32(end), path.baseAddress, &count
      ).expectSuccess("martlet_retrieve_path")
      used = Int(count)
    }
  }
}
