import CMartlet

/// One row of a batch that attends: which sequence it belongs to and what it may see.
public struct AttentionRow: Sendable, Equatable {
  /// Index into the batch's page tables.
  public var sequence: Int
  /// First visible position: 0, or the start of a sliding window.
  public var first: Int
  /// The row's own position, the last that it sees and the one whose keys and values it writes.
  public var position: Int

  public init(sequence: Int, first: Int = 0, position: Int) {
    self.sequence = sequence
    self.first = first
    self.position = position
  }
}

/// The rows of one forward pass over the pages of a slab: writes their keys and values, then
/// attends.
///
/// Use, per batch: `begin` on one thread; then per layer `select` on one thread, `write` disjoint
/// rows on any threads, a barrier, and `attend` disjoint rows or heads on any threads.
/// `@unchecked Sendable` by that rule.
public final class AttentionBatch: @unchecked Sendable {
  public let slab: KVSlab
  /// The rows that `begin` last set.
  public private(set) var rows: [AttentionRow] = []

  private var layout: martlet_kv_layout
  /// Addresses of the first layer of all sequences' pages one after another, and where each
  /// sequence's begin.
  private var bases: [UnsafeRawPointer] = []
  private var tableStarts: [Int] = []
  /// The same pages in the selected layer.
  private var addresses: [UnsafeRawPointer?] = []

  /// A batch over the pages of `slab`.
  public init(slab: KVSlab) {
    self.slab = slab
    layout = slab.cLayout
  }

  /// Sets the page tables and rows of a batch.
  ///
  /// - Parameters:
  ///   - tables: per sequence, page i holds positions 32·i ..< 32·(i+1). Each table covers the
  ///     positions of its rows, and all pages exist in the slab.
  ///   - rows: in the order of the matrices' rows. No two rows write the same slot of a page.
  public func begin(tables: [[Int32]], rows: [AttentionRow]) {
    self.rows = rows
    bases.removeAll(keepingCapacity: true)
    tableStarts.removeAll(keepingCapacity: true)
    for table in tables {
      tableStarts.append(bases.count)
      for page in table {
        bases.append(UnsafeRawPointer(slab.pointer(page: Int(page), layer: 0)))
      }
    }
    for row in rows {
      precondition(tables.indices.contains(row.sequence), "sequence \(row.sequence)")
      precondition(
        row.first >= 0 && row.first <= row.position && row.position < Int(Int32.max)
          && row.position < tables[row.sequence].count * KVSlab.pageTokens,
        "positions \(row.first)...\(row.position) exceed the sequence's pages")
    }
    addresses = bases
  }

  /// Turns to `layer`.
  public func select(layer: Int) {
    precondition(layer >= 0 && layer < slab.layers, "layer \(layer) of \(slab.layers)")
    let offset = layer * slab.bytesPerLayer
    for index in bases.indices { addresses[index] = bases[index] + offset }
  }

  /// Stores keys and values of rows `range` at their positions in the selected layer.
  public func write(keys: FloatMatrix, values: FloatMatrix, rows range: Range<Int>) {
    check(keys, range, columns: slab.kvHeads * slab.headDimensions)
    check(values, range, columns: slab.kvHeads * slab.headDimensions)
    var layout = layout
    for index in range {
      let row = rows[index]
      let page = tableStarts[row.sequence] + row.position / KVSlab.pageTokens
      // The address came from the slab, whose memory is mutable; `select` stored it as read-only
      // because that is what attention takes.
      martlet_kv_write(
        &layout, UnsafeMutableRawPointer(mutating: addresses[page]),
        UInt32(row.position % KVSlab.pageTokens), keys.base + index * keys.stride,
        values.base + index * values.stride
      ).expectSuccess("martlet_kv_write")
    }
  }

  /// Attention of rows `range`, for the query heads of key-value heads `kvHeads`, in the selected
  /// layer. Query head h reads key-value head h / (query heads / key-value heads).
  ///
  /// - Parameters:
  ///   - scale: multiplies every score, usually 1/√(head dimensions).
  ///   - queries, output: query heads × head dimensions columns; different matrices.
  public func attend(
    queries: FloatMatrix, scale: Float, into output: FloatMatrix, rows range: Range<Int>,
    kvHeads: Range<Int>
  ) {
    let heads = queries.columns / slab.headDimensions
    check(queries, range, columns: heads * slab.headDimensions)
    check(output, range, columns: queries.columns)
    precondition(queries !== output, "queries and output are one matrix")
    precondition(heads > 0 && heads % slab.kvHeads == 0, "\(heads) query heads")
    precondition(
      kvHeads.lowerBound >= 0 && kvHeads.upperBound <= slab.kvHeads, "heads \(kvHeads)")
    guard !range.isEmpty, !kvHeads.isEmpty else { return }
    var layout = layout
    addresses.withUnsafeBufferPointer { addresses in
      guard let tables = addresses.baseAddress else { return }
      // A stack buffer of a few dozen rows at a time: no allocation on the hot path.
      withUnsafeTemporaryAllocation(of: martlet_attention_row.self, capacity: range.count) { list in
        for (offset, index) in range.enumerated() {
          let row = rows[index]
          list.initializeElement(
            at: offset,
            to: martlet_attention_row(
              pages: tables + tableStarts[row.sequence], first: UInt32(row.first),
              end: UInt32(row.position + 1), query: queries.base + index * queries.stride,
              output: output.base + index * output.stride))
        }
        martlet_attention_f32(
          &layout, UInt32(heads), scale, list.baseAddress, range.count,
          UInt32(kvHeads.lowerBound), UInt32(kvHeads.upperBound)
        ).expectSuccess("martlet_attention_f32")
      }
    }
  }

  private func check(_ matrix: FloatMatrix, _ range: Range<Int>, columns: Int) {
    matrix.checkRows(range)
    precondition(range.upperBound <= rows.count, "rows \(range) of a batch of \(rows.count)")
    precondition(matrix.columns == columns, "\(matrix.columns) columns instead of \(columns)")
  }
}
