import CMartlet

/// The weights of attention by themselves: what decides which positions can be left out.
extension AttentionBatch {
  /// The weights that one row's query heads of a key-value head give to what they see, in the selected
  /// layer: softmax of the scaled scores, one list after another.
  ///
  /// - Parameters:
  ///   - path: the positions that are seen, in this order; nil for all up to the row's own, as the row
  ///     has them.
  ///   - weights: grows as needed; its first (heads of the group) × (positions) elements are written.
  /// - Returns: positions per query head.
  /// - Complexity: 0.8 ns per position and query head of 64 dimensions with AVX-512, several times that
  ///   where single positions are gathered from pages that are not turned.
  @discardableResult
  public func weights(
    of row: Int, kvHead: Int, path: [UInt32]? = nil, queries: FloatMatrix, scale: Float,
    into weights: inout [Float]
  ) -> Int {
    check(queries, row..<row + 1, columns: queries.columns)
    precondition((0..<slab.kvHeads).contains(kvHead), "head \(kvHead)")
    precondition(rows[row].first == 0 && path?.isEmpty != true, "a row sees positions from 0 on")
    let group = queries.columns / slab.headDimensions / slab.kvHeads
    let count = path?.count ?? rows[row].position + 1
    if let path { checkPath(path, of: row..<row + 1) }
    if weights.count < group * count {
      weights.append(contentsOf: repeatElement(0, count: group * count - weights.count))
    }
    func run(_ path: UnsafeBufferPointer<UInt32>?) {
      // Outputs are not written; some matrix has to be named.
      withArguments(1, { _ in row }, queries, queries) { arguments in
        arguments.scale = scale
        arguments.kv_head_begin = UInt32(kvHead)
        arguments.kv_head_end = UInt32(kvHead + 1)
        if let path {
          // The list is withArguments' own.
          let list = UnsafeMutablePointer(mutating: arguments.rows!)
          list[0].end = UInt32(path.count)
          list[0].path = path.baseAddress
          list[0].path_count = UInt32(path.count)
        }
        weights.withUnsafeMutableBufferPointer { weights in
          martlet_attention_weights_f32(&arguments, weights.baseAddress, count)
            .expectSuccess("martlet_attention_weights_f32")
        }
      }
    }
    if let path {
      path.withUnsafeBufferPointer { run($0) }
    } else {
      run(nil)
    }
    return count
  }
}

extension AttentionBatch {
  /// Adds to `sums` the weights of ``weights(of:kvHead:path:queries:scale:into:)``, those of all heads of
  /// the group together; `sums` has an element per position that is seen.
  public func addWeights(
    of row: Int, kvHead: Int, path: [UInt32]? = nil, queries: FloatMatrix, scale: Float,
    scratch: inout [Float], into sums: inout [Float]
  ) {
    let count = weights(
      of: row, kvHead: kvHead, path: path, queries: queries, scale: scale, into: &scratch)
    precondition(sums.count == count, "\(sums.count) sums for \(count) positions")
    let group = queries.columns / slab.headDimensions / slab.kvHeads
    // Both were just sized; elementwise, so that the compiler makes vectors of it.
    scratch.withUnsafeBufferPointer { weights in
      sums.withUnsafeMutableBufferPointer { sums in
        for head in 0..<group {
          let part = weights.baseAddress! + head * count
          for position in 0..<count { sums[position] += part[position] }
        }
      }
    }
  }
}
