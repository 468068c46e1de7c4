import CMartlet

/// One row of a batch that attends: which sequence it belongs to and what it may see.
public struct AttentionRow: Sendable, Equatable {
  /// Index into the batch's page tables.
  public var sequence: Int
  /// First visible position: 0, or the start of a sliding window.
  public var first: Int
  /// The row's own position, the last that it sees and the one whose keys and values it writes.
  public var position: Int
  /// Where the last `path.count` visible positions are stored, the row's own last; empty when every
  /// position is stored in its own slot.
  ///
  /// This is how a row of a drafted token tree sees its ancestors and none of its siblings: each
  /// node has a slot after the prefix, and a node's path is its parent's and its own slot. The
  /// result has the bits that plain decoding of the same tokens would have, so a verified path needs
  /// `KVSlab.move` and nothing else.
  public var path: [Int]

  /// The slot, counted from the sequence's start, that holds the row's own keys and values.
  public var slot: Int { path.last ?? position }

  public init(sequence: Int, first: Int = 0, position: Int, path: [Int] = []) {
    self.sequence = sequence
    self.first = first
    self.position = position
    self.path = path
  }
}

/// The rows of one forward pass over the pages of a slab: writes their keys and values, then
/// attends.
///
/// Use, per batch: `begin` on one thread; then per layer `select` on one thread, `write` disjoint
/// rows on any threads, a barrier, `attend(unit:)` of every unit on any threads and, where `merges`
/// is not zero, a barrier and `merge` of every one. No thread count, order or split changes a bit.
/// `@unchecked Sendable` by that rule.
public final class AttentionBatch: @unchecked Sendable {
  public let slab: KVSlab
  /// The rows that `begin` last set.
  public private(set) var rows: [AttentionRow] = []
  /// Pieces of the work, costliest first, as `begin` planned them.
  public var units: Int { plan.units.count }
  /// Merges that the units call for; zero when no row was split.
  public var merges: Int { plan.merges.count }

  private var layout: martlet_kv_layout
  /// Addresses of the first layer of all sequences' pages one after another, and where each
  /// sequence's begin.
  private var bases: [UnsafeRawPointer?] = []
  /// Beside each address whether the page is turned; empty where none is.
  private var turned: [UInt8] = []
  private var tableStarts: [Int] = []
  /// All rows' paths one after another, and where each row's begins.
  private var paths: [UInt32] = []
  private var pathStarts: [Int] = []
  private(set) var plan = AttentionPlan()
  /// What units of split rows leave for `merge`.
  private(set) var partials: FloatMatrix?
  /// Of each stretch, its block and its place there; see `begin(tables:stretches:queryHeads:threads:)`.
  var places: [(block: Int, place: Int)] = []
  /// Bytes from a page's first layer to the selected one.
  private var layerOffset = 0

  /// A batch over the pages of `slab`.
  public init(slab: KVSlab) {
    self.slab = slab
    layout = slab.cLayout
  }

  /// Sets the page tables and rows of a batch, and plans the work: rows that share pages come
  /// together, so that each shared page is read once for all of them.
  ///
  /// - Parameters:
  ///   - tables: per sequence, page i holds positions 32·i ..< 32·(i+1). Each table covers the
  ///     positions and paths of its rows, and all pages exist in the slab. None of them turns or turns
  ///     back until the batch is done, and none that is written to is turned.
  ///   - rows: in the order of the matrices' rows. No two rows write the same slot of a page.
  ///   - queryHeads: of the queries to come; as many as key-value heads if not given.
  ///   - threads: how many will work; more make smaller units.
  ///   - planned: the rows that units attend for; all if not given. Others attend otherwise.
  /// - Complexity: O(pages in all tables + rows · log rows).
  public func begin(
    tables: [[Int32]], rows: [AttentionRow], queryHeads: Int? = nil, threads: Int = 1,
    planned: [Int]? = nil
  ) {
    begin(
      tables: tables, rows: rows, queryHeads: queryHeads, threads: threads, planned: planned,
      keepsRecords: false)
  }

  func begin(
    tables: [[Int32]], rows: [AttentionRow], queryHeads: Int?, threads: Int, planned: [Int]?,
    keepsRecords: Bool
  ) {
    let queryHeads = queryHeads ?? slab.kvHeads
    precondition(
      queryHeads > 0 && queryHeads % slab.kvHeads == 0,
      "\(queryHeads) query heads for \(slab.kvHeads) key-value heads")
    self.rows = rows
    bases.removeAll(keepingCapacity: true)
    tableStarts.removeAll(keepingCapacity: true)
    for table in tables {
      tableStarts.append(bases.count)
      for page in table {
        bases.append(UnsafeRawPointer(slab.pointer(page: Int(page), layer: 0)))
      }
    }
    turned.removeAll(keepingCapacity: true)
    if tables.contains(where: { $0.contains { slab.isTurned(Int($0)) } }) {
      for page in tables.joined() { turned.append(slab.isTurned(Int(page)) ? 1 : 0) }
    }
    paths.removeAll(keepingCapacity: true)
    pathStarts.removeAll(keepingCapacity: true)
    for row in rows {
      check(row, tables)
      pathStarts.append(paths.count)
      for slot in row.path { paths.append(UInt32(slot)) }
    }
    layerOffset = 0
    plan.make(
      tables: tables, rows: rows, kvHeads: slab.kvHeads, group: queryHeads / slab.kvHeads,
      threads: threads, planned: planned, keepsRecords: keepsRecords)
    reservePartials()
  }

  private func check(_ row: AttentionRow, _ tables: [[Int32]]) {
    precondition(tables.indices.contains(row.sequence), "sequence \(row.sequence)")
    let slots = tables[row.sequence].count * KVSlab.pageTokens
    precondition(
      row.first >= 0 && row.first <= row.position && row.position < Int(Int32.max)
        && row.path.count <= row.position + 1 && row.position - row.path.count < slots,
      "positions \(row.first)...\(row.position) exceed the sequence's pages")
    precondition(
      row.path.allSatisfy { $0 >= 0 && $0 < slots }, "path \(row.path) exceeds \(slots) slots")
  }

  /// Makes room for the records of split rows; where the system refuses, nothing is split.
  private func reservePartials() {
    guard plan.records > 0 else { return }
    if let partials, partials.rows >= plan.records { return }
    let floats = martlet_attention_partial_floats(&layout)
    partials = try? FloatMatrix(rows: plan.records, columns: floats)
    if partials == nil { plan.join() }
  }

  /// Turns to `layer`.
  public func select(layer: Int) {
    precondition(layer >= 0 && layer < slab.layers, "layer \(layer) of \(slab.layers)")
    layerOffset = layer * slab.geometry.layerStride
  }

  /// Stores keys and values of rows `range` at their slots in the selected layer.
  public func write(keys: FloatMatrix, values: FloatMatrix, rows range: Range<Int>) {
    check(keys, range, columns: slab.kvHeads * slab.headDimensions)
    check(values, range, columns: slab.kvHeads * slab.headDimensions)
    var layout = layout
    for index in range {
      let row = rows[index]
      let number = tableStarts[row.sequence] + row.slot / KVSlab.pageTokens
      precondition(turned.isEmpty || turned[number] == 0, "row \(index) writes to a turned page")
      let page = bases[number]
      // The address came from the slab, whose memory is mutable; it is kept as read-only because
      // that is what attention takes.
      martlet_kv_write(
        &layout, UnsafeMutableRawPointer(mutating: page! + layerOffset),
        UInt32(row.slot % KVSlab.pageTokens), keys.base + index * keys.stride,
        values.base + index * values.stride
      ).expectSuccess("martlet_kv_write")
    }
  }

  /// Attention of rows `range`, for the query heads of key-value heads `kvHeads`, in the selected
  /// layer, without the plan. Query head h reads key-value head h / (query heads / key-value heads).
  ///
  /// - Parameters:
  ///   - scale: multiplies every score, usually 1/√(head dimensions).
  ///   - queries, output: query heads × head dimensions columns; different matrices.
  public func attend(
    queries: FloatMatrix, scale: Float, into output: FloatMatrix, rows range: Range<Int>,
    kvHeads: Range<Int>
  ) {
    check(queries, output, range)
    precondition(
      kvHeads.lowerBound >= 0 && kvHeads.upperBound <= slab.kvHeads, "heads \(kvHeads)")
    guard !range.isEmpty, !kvHeads.isEmpty else { return }
    withArguments(range.count, { range.lowerBound + $0 }, queries, output) { arguments in
      arguments.scale = scale
      arguments.kv_head_begin = UInt32(kvHeads.lowerBound)
      arguments.kv_head_end = UInt32(kvHeads.upperBound)
      martlet_attention_f32(&arguments).expectSuccess("martlet_attention_f32")
    }
  }

  /// Attention of rows `range` to some positions of their sequence, for the query heads of one
  /// key-value head, in the selected layer: retrieval attention.
  ///
  /// The result is plain attention's over a sequence of these positions in this order. Rows of one
  /// sequence, or of forks whose tables hold the same pages, read them once together.
  ///
  /// - Parameters:
  ///   - path: positions that the sequence's pages hold, at least one; see
  ///     ``Kernels/retrievalPath(found:sinks:recent:end:)``.
  /// - Complexity: 0.06 to 0.15 µs per single position of 128 dimensions for a group of four heads
  ///   where pages are turned, several times that where they are not.
  public func attend(
    rows range: Range<Int>, kvHead: Int, path: [UInt32], queries: FloatMatrix, scale: Float,
    into output: FloatMatrix
  ) {
    check(queries, output, range)
    precondition((0..<slab.kvHeads).contains(kvHead), "head \(kvHead)")
    precondition(!path.isEmpty, "a row attends to at least one position")
    checkPath(path, of: range)
    guard !range.isEmpty else { return }
    path.withUnsafeBufferPointer { path in
      withArguments(range.count, { range.lowerBound + $0 }, queries, output) { arguments in
        arguments.scale = scale
        arguments.kv_head_begin = UInt32(kvHead)
        arguments.kv_head_end = UInt32(kvHead + 1)
        // The list is withArguments' own.
        let list = UnsafeMutablePointer(mutating: arguments.rows!)
        for index in 0..<range.count {
          list[index].first = 0
          list[index].end = UInt32(path.count)
          list[index].path = path.baseAddress
          list[index].path_count = UInt32(path.count)
        }
        martlet_attention_f32(&arguments).expectSuccess("martlet_attention_f32")
      }
    }
  }

  func checkPath(_ path: [UInt32], of range: Range<Int>) {
    let last = Int(Self.largest(path))
    for row in range {
      let sequence = rows[row].sequence
      let next = sequence + 1 < tableStarts.count ? tableStarts[sequence + 1] : bases.count
      precondition(
        last < (next - tableStarts[sequence]) * KVSlab.pageTokens,
        "position \(last) exceeds the sequence's pages")
    }
  }

  /// Compiles to vector code, which `max()` does not.
  private static func largest(_ path: [UInt32]) -> UInt32 {
    var largest: UInt32 = 0
    for position in path { largest = position > largest ? position : largest }
    return largest
  }

  /// Attention of unit `index` of `units` in the selected layer.
  public func attend(unit index: Int, queries: FloatMatrix, scale: Float, into output: FloatMatrix)
  {
    check(queries, output, 0..<rows.count)
    let unit = plan.units[index]
    let block = plan.blocks[unit.block]
    withArguments(block.rows.count, { plan.order[block.rows.lowerBound + $0] }, queries, output) {
      arguments in
      arguments.scale = scale
      arguments.kv_head_begin = UInt32(unit.kvHead)
      arguments.kv_head_end = UInt32(unit.kvHead + 1)
      if block.pieces > 1 {
        setPartials(&arguments, block)
        arguments.chunk_begin = UInt32(unit.chunks.lowerBound)
        arguments.chunk_end = UInt32(unit.chunks.upperBound)
      }
      martlet_attention_f32(&arguments).expectSuccess("martlet_attention_f32")
    }
  }

  /// Merge `index` of `merges`, after all units of the layer.
  public func merge(_ index: Int, queries: FloatMatrix, into output: FloatMatrix) {
    check(queries, output, 0..<rows.count)
    let merge = plan.merges[index]
    let block = plan.blocks[merge.block]
    withArguments(block.rows.count, { plan.order[block.rows.lowerBound + $0] }, queries, output) {
      arguments in
      setPartials(&arguments, block)
      arguments.kv_head_begin = UInt32(merge.kvHead)
      arguments.kv_head_end = UInt32(merge.kvHead + 1)
      martlet_attention_merge_f32(&arguments).expectSuccess("martlet_attention_merge_f32")
    }
  }

  func setPartials(
    _ arguments: inout martlet_attention_arguments, _ block: AttentionPlan.Block
  ) {
    guard let partials else { preconditionFailure("a split block without room for its records") }
    arguments.partials = partials.base + block.record * partials.stride
    arguments.partials_chunk = UInt32(block.chunks.lowerBound)
  }

  /// Calls `body` with arguments for `count` rows, of which row i is the batch's `row(i)`.
  func withArguments(
    _ count: Int, _ row: (Int) -> Int, _ queries: FloatMatrix, _ output: FloatMatrix,
    _ body: (inout martlet_attention_arguments) -> Void
  ) {
    withTables { bases, flags, paths in
      // A stack buffer of a few dozen rows at a time: no allocation on the hot path.
      withUnsafeTemporaryAllocation(of: martlet_attention_row.self, capacity: count) { list in
        for offset in 0..<count {
          let index = row(offset)
          let row = rows[index]
          var entry = martlet_attention_row()
          entry.pages = bases.map { $0 + tableStarts[row.sequence] }
          entry.first = UInt32(row.first)
          entry.end = UInt32(row.position + 1)
          entry.query = UnsafePointer(queries.base + index * queries.stride)
          entry.output = output.base + index * output.stride
          entry.path = paths.map { $0 + pathStarts[index] }
          entry.path_count = UInt32(row.path.count)
          entry.turned = turned.isEmpty ? nil : flags.map { $0 + tableStarts[row.sequence] }
          list.initializeElement(at: offset, to: entry)
        }
        withUnsafePointer(to: layout) { layout in
          var arguments = martlet_attention_arguments()
          arguments.size = UInt32(MemoryLayout<martlet_attention_arguments>.size)
          arguments.query_heads = UInt32(queries.columns / slab.headDimensions)
          arguments.layout = layout
          arguments.page_offset = layerOffset
          arguments.rows = UnsafePointer(list.baseAddress)
          arguments.row_count = count
          body(&arguments)
        }
      }
    }
  }

  /// The batch's lists, at places that hold while `body` runs.
  private func withTables(
    _ body: (
      UnsafePointer<UnsafeRawPointer?>?, UnsafePointer<UInt8>?, UnsafePointer<UInt32>?
    ) -> Void
  ) {
    bases.withUnsafeBufferPointer { bases in
      turned.withUnsafeBufferPointer { turned in
        paths.withUnsafeBufferPointer { paths in
          body(bases.baseAddress, turned.baseAddress, paths.baseAddress)
        }
      }
    }
  }

  private func check(_ queries: FloatMatrix, _ output: FloatMatrix, _ range: Range<Int>) {
    let heads = queries.columns / slab.headDimensions
    check(queries, range, columns: heads * slab.headDimensions)
    check(output, range, columns: queries.columns)
    precondition(queries !== output, "queries and output are one matrix")
    precondition(heads > 0 && heads % slab.kvHeads == 0, "\(heads) query heads")
  }

  func check(_ matrix: FloatMatrix, _ range: Range<Int>, columns: Int) {
    matrix.checkRows(range)
    precondition(range.upperBound <= rows.count, "rows \(range) of a batch of \(rows.count)")
    precondition(matrix.columns == columns, "\(matrix.columns) columns instead of \(columns)")
  }
}
