import CMartlet

/// Attention of rows that see several stretches, each with a query of its own.
///
/// A stretch is one row of the batch here: the pages it lies in, the first and the last position that
/// are seen, and a row of the matrix of queries. What each gives stays as records, one for each chunk of
/// 512 positions, and a merge puts those of one row's stretches together in their order, by log-sum-exp
/// as the chunks of any row are. So a result depends on the stretches and on their order alone.
///
/// Use, per batch: `begin` on one thread; then per layer `select` on one thread, `attend(stretches:)` of
/// every unit on any threads, a barrier, and `merge` of every row on any threads.
extension AttentionBatch {
  /// Sets the page tables and the stretches, and plans the work: those who see one stretch read it once
  /// together.
  ///
  /// - Parameters:
  ///   - tables: as for rows that attend alone.
  ///   - stretches: positions `first` ... `position` of a sequence each, without a path.
  /// - Throws: `KernelError` `.memory` without room for the records.
  /// - Complexity: O(pages in all tables + stretches · log stretches); a record takes
  ///   4 · (head dimensions + 16) bytes for each query head and chunk.
  public func begin(
    tables: [[Int32]], stretches: [AttentionRow], queryHeads: Int, threads: Int
  ) throws(KernelError) {
    precondition(stretches.allSatisfy { $0.path.isEmpty }, "a stretch has no path")
    begin(
      tables: tables, rows: stretches, queryHeads: queryHeads, threads: threads, planned: nil,
      keepsRecords: true)
    guard plan.records == 0 || partials.map({ $0.rows >= plan.records }) ?? false else {
      throw KernelError(
        .memory, "there is no room for \(plan.records) partial results of attention")
    }
    places = [(Int, Int)](repeating: (0, 0), count: stretches.count)
    for (number, block) in plan.blocks.enumerated() {
      for place in block.rows {
        places[plan.order[place]] = (number, place - block.rows.lowerBound)
      }
    }
  }

  /// Attention of unit `index` of `units` in the selected layer. Row i of `queries` is stretch i's.
  public func attend(stretches index: Int, queries: FloatMatrix, scale: Float) {
    check(queries, 0..<rows.count, columns: queries.columns)
    let unit = plan.units[index]
    let block = plan.blocks[unit.block]
    // Where there are records nothing is written to the rows' outputs, which may not be null.
    withArguments(block.rows.count, { plan.order[block.rows.lowerBound + $0] }, queries, queries) {
      arguments in
      arguments.scale = scale
      arguments.kv_head_begin = UInt32(unit.kvHead)
      arguments.kv_head_end = UInt32(unit.kvHead + 1)
      setPartials(&arguments, block)
      arguments.chunk_begin = UInt32(unit.chunks.lowerBound)
      arguments.chunk_end = UInt32(unit.chunks.upperBound)
      martlet_attention_f32(&arguments).expectSuccess("martlet_attention_f32")
    }
  }

  /// Puts together what stretches `range` gave, in their order, as row `row` of `output`, after all units
  /// of the layer.
  public func merge(stretches range: Range<Int>, into output: FloatMatrix, row: Int) {
    precondition(!range.isEmpty && range.upperBound <= rows.count, "stretches \(range)")
    output.checkRow(row)
    guard let partials else { preconditionFailure("no stretches were attended to") }
    let chunk = Int(MARTLET_ATTENTION_CHUNK_TOKENS)
    let heads = output.columns / slab.headDimensions
    let size = heads * partials.stride
    let count = range.reduce(0) { $0 + rows[$1].position / chunk - rows[$1].first / chunk + 1 }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: count * size) { records in
      var next = records.baseAddress!
      for stretch in range {
        let (number, place) = places[stretch]
        let block = plan.blocks[number]
        for part in rows[stretch].first / chunk...rows[stretch].position / chunk {
          let record =
            block.record + ((part - block.chunks.lowerBound) * block.rows.count + place) * heads
          next.initialize(from: partials.base + record * partials.stride, count: size)
          next += size
        }
      }
      withArguments(1, { _ in 0 }, output, output) { arguments in
        // The list is withArguments' own. As many chunks as there are records, whatever they are of.
        let list = UnsafeMutablePointer(mutating: arguments.rows!)
        list[0].first = 0
        list[0].end = UInt32(count * chunk)
        list[0].query = UnsafePointer(output.base + row * output.stride)
        list[0].output = output.base + row * output.stride
        arguments.kv_head_begin = 0
        arguments.kv_head_end = UInt32(slab.kvHeads)
        arguments.partials = records.baseAddress
        arguments.partials_chunk = 0
        martlet_attention_merge_f32(&arguments).expectSuccess("martlet_attention_merge_f32")
      }
    }
  }
}
