import CMartlet

/// Searches of one sequence's pages; one object per thread.
///
/// Use: `begin` with the sequence's page table, then `search` per layer and key-value head, then
/// `Kernels.retrievalPath` and `AttentionBatch.attend(rows:kvHead:path:…)`.
public final class RetrievalSearch {
  public let slab: RetrievalSlab

  private var addresses: [RetrievalPart: [UnsafeRawPointer?]] = [:]
  private var prepared: AlignedMemory?
  private var scratch: AlignedMemory?
  private var positions: [UInt32] = []

  /// Where a sequence's pages are: made once per sequence, for any number of searches.
  public struct Table: @unchecked Sendable {
    // @unchecked: addresses of the slab's memory, which it holds and which is not written meanwhile.
    let slab: RetrievalSlab
    fileprivate let addresses: [RetrievalPart: [UnsafeRawPointer?]]

    /// Addresses of the pages' keys, position by position; none where the slab has none.
    var keys: [UnsafeRawPointer?] { slab.hasKeys ? addresses[.keys] ?? [] : [] }
  }

  /// A search over pages of `slab`.
  public init(slab: RetrievalSlab) { self.slab = slab }

  /// Turns to a sequence: page i of `table` holds positions 32·i ..< 32·(i + 1).
  /// - Complexity: O(pages) per part.
  public func begin(table: [Int32]) { begin(slab.table(table)) }

  /// Turns to a sequence whose pages have been found already. O(1).
  public func begin(_ table: Table) {
    precondition(table.slab === slab, "a table of another slab")
    addresses = table.addresses
  }

  /// How a search finds positions.
  public enum Method: Sendable, Equatable {
    /// Scans all codes, and ranks the best `candidates` of each query by rows if the slab has them.
    case scan(candidates: Int)
    /// Takes whole pages by the bounds of their scores.
    case bounds
  }

  /// The `wanted` best positions of each query among `pages`, put together: ascending, each once.
  ///
  /// - Parameters:
  ///   - queries: rows of query heads × head dimensions; those of `rows` search together, with the
  ///     heads that read `kvHead`. Codes are read once for all of them.
  ///   - pages: of the table; full ones, encoded with `codebook`.
  ///   - wanted: positions per query; of pages by bounds, rounded up to 32.
  /// - Throws: `KernelError` `.memory`, or `.argument` for a part that the slab has not.
  /// - Complexity: one read of the codes, and two passes over two bytes per position and query.
  public func search(
    _ queries: FloatMatrix, rows: Range<Int>, layer: Int, kvHead: Int,
    codebook: RetrievalCodebook, pages: Range<Int>, method: Method, wanted: Int
  ) throws(KernelError) -> [UInt32] {
    precondition(codebook.shape == slab.shape, "a codebook of another shape")
    precondition((0..<slab.kvHeads).contains(kvHead) && wanted >= 0, "head \(kvHead)")
    let part: RetrievalPart = method == .bounds ? .bounds : .codes
    guard slab.parts.contains(part), let table = addresses[part] else {
      throw KernelError(
        .argument, "a search by \(part) needs them in the slab, and `begin` with a page table")
    }
    precondition(pages.lowerBound >= 0 && pages.upperBound <= table.count, "pages \(pages)")
    let list = try prepare(queries, rows, kvHead, codebook)
    guard !list.isEmpty, !pages.isEmpty, wanted > 0 else { return [] }
    var arguments = martlet_retrieve_search_arguments()
    arguments.size = UInt32(MemoryLayout<martlet_retrieve_search_arguments>.size)
    arguments.query_count = UInt32(list.count)
    arguments.page_begin = pages.lowerBound
    arguments.page_end = pages.upperBound
    arguments.wanted = UInt32(wanted)
    if case .scan(let candidates) = method { arguments.candidates = UInt32(max(0, candidates)) }
    let each =
      method == .bounds
      ? (wanted + KVSlab.pageTokens - 1) / KVSlab.pageTokens * KVSlab.pageTokens : wanted
    let room = min(list.count * each, pages.count * KVSlab.pageTokens)
    if positions.count < room { positions = [UInt32](repeating: 0, count: room) }
    return try run(&arguments, list, method, layer, kvHead)
  }

  private func run(
    _ arguments: inout martlet_retrieve_search_arguments, _ list: [UnsafeRawPointer?],
    _ method: Method, _ layer: Int, _ kvHead: Int
  ) throws(KernelError) -> [UInt32] {
    func offset(_ part: RetrievalPart) -> Int {
      slab.offset(layer: layer, kvHead: kvHead, part: part)
    }
    let scanning = method != .bounds
    let ranking = scanning && slab.parts.contains(.rows)
    arguments.code_offset = scanning ? offset(.codes) : 0
    arguments.row_offset = ranking ? offset(.rows) : 0
    arguments.bound_offset = scanning ? 0 : offset(.bounds)
    // All pointers live through the calls, which alone use them.
    let needed = withTables(&arguments, list, scanning, ranking) {
      martlet_retrieve_search_scratch(&$0)
    }
    let scratch = try room(&scratch, needed)
    var found = 0
    positions.withUnsafeMutableBufferPointer { positions in
      withTables(&arguments, list, scanning, ranking) {
        martlet_retrieve_search(&$0, scratch.base, positions.baseAddress, &found)
      }.expectSuccess("martlet_retrieve_search")
    }
    return Array(positions.prefix(found))
  }

  private func withTables<R>(
    _ arguments: inout martlet_retrieve_search_arguments, _ list: [UnsafeRawPointer?],
    _ scanning: Bool, _ ranking: Bool, _ body: (inout martlet_retrieve_search_arguments) -> R
  ) -> R {
    list.withUnsafeBufferPointer { list in
      (addresses[.codes] ?? []).withUnsafeBufferPointer { codes in
        (addresses[.rows] ?? []).withUnsafeBufferPointer { rows in
          (addresses[.bounds] ?? []).withUnsafeBufferPointer { bounds in
            arguments.queries = list.baseAddress
            arguments.code_pages = scanning ? codes.baseAddress : nil
            arguments.row_pages = ranking ? rows.baseAddress : nil
            arguments.bound_pages = scanning ? nil : bounds.baseAddress
            return body(&arguments)
          }
        }
      }
    }
  }

  /// Addresses of the queries of `rows` that read `kvHead`, prepared.
  private func prepare(
    _ queries: FloatMatrix, _ rows: Range<Int>, _ kvHead: Int, _ codebook: RetrievalCodebook
  ) throws(KernelError) -> [UnsafeRawPointer?] {
    queries.checkRows(rows)
    let dimensions = slab.shape.headDimensions
    let group = queries.columns / dimensions / slab.kvHeads
    precondition(
      group > 0 && queries.columns == group * dimensions * slab.kvHeads,
      "\(queries.columns) columns of queries for \(slab.kvHeads) key-value heads")
    let bytes = slab.shape.preparedBytes
    let memory = try room(&prepared, rows.count * group * bytes)
    var list: [UnsafeRawPointer?] = []
    for row in rows {
      for head in 0..<group {
        let place = memory.base + list.count * bytes
        let query = queries.base + row * queries.stride + (kvHead * group + head) * dimensions
        martlet_retrieve_query(codebook.memory.base, query, place)
          .expectSuccess("martlet_retrieve_query")
        list.append(UnsafeRawPointer(place))
      }
    }
    return list
  }

  /// Memory of at least `bytes`, kept for the next time.
  private func room(
    _ memory: inout AlignedMemory?, _ bytes: Int
  ) throws(KernelError) -> AlignedMemory {
    if let memory, memory.byteCount >= bytes { return memory }
    let fresh = try AlignedMemory(byteCount: bytes)
    memory = fresh
    return fresh
  }
}

extension RetrievalSlab {
  /// Where a sequence's pages are. O(pages) per part.
  public func table(_ pages: [Int32]) -> RetrievalSearch.Table {
    RetrievalSearch.Table(
      slab: self,
      addresses: Dictionary(
        uniqueKeysWithValues: parts.map { part in
          (part, pages.map { UnsafeRawPointer(base(page: Int($0), part: part)) })
        }))
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
