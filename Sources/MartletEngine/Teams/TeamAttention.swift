import MartletKernels
import MartletMachine

/// Attention of tokens that read other sequences' pages in place: one query for each stretch of what a
/// token sees, rotated to where the token stands from there, and the stretches' results merged in order.
///
/// Source: "Hogwild! Inference: Parallel LLM Generation via Concurrent Attention", which rotates queries
/// rather than keys, so that one copy of a key serves everybody, wherever it is seen.
final class TeamAttention: @unchecked Sendable {
  // @unchecked: changed on the driver thread only, between the team's loops.
  private let attention: AttentionBatch
  private let rope: RopeTable
  private let queryHeads: Int
  private let scale: Float
  private let team: ThreadTeam
  /// The rows of the pass at hand that see stretches.
  private(set) var rows: [Int] = []
  /// Where each stretch is seen from, all rows' one after another.
  private(set) var positions: [Int32] = []
  /// The stretches of each row of the batch, empty for those that see their own sequence.
  private var stretches: [Range<Int>] = []
  /// A row for each stretch.
  private var queries: FloatMatrix?

  init(slab: KVSlab, rope: RopeTable, queryHeads: Int, scale: Float, team: ThreadTeam) {
    attention = AttentionBatch(slab: slab)
    (self.rope, self.queryHeads, self.scale, self.team) = (rope, queryHeads, scale, team)
  }

  /// Finds who sees what in a batch.
  func begin(_ batch: ForwardBatch) throws(KernelError) {
    rows.removeAll(keepingCapacity: true)
    positions.removeAll(keepingCapacity: true)
    stretches.removeAll(keepingCapacity: true)
    guard batch.tokens.contains(where: { !$0.view.isEmpty }) else { return }
    var seen: [AttentionRow] = []
    for (row, token) in batch.tokens.enumerated() {
      let first = seen.count
      for segment in token.view {
        seen.append(
          AttentionRow(
            sequence: segment.sequence, first: segment.slots.lowerBound,
            position: segment.slots.upperBound - 1))
        positions.append(Int32(segment.queryPosition))
      }
      if seen.count > first { rows.append(row) }
      stretches.append(first..<seen.count)
    }
    let columns = queryHeads * attention.slab.headDimensions
    if queries.map({ $0.rows < seen.count }) ?? true {
      queries = try FloatMatrix(rows: max(seen.count, 64), columns: columns)
    }
    try attention.begin(
      tables: batch.sequences, stretches: seen, queryHeads: queryHeads, threads: team.width)
  }

  /// Takes queries that are not rotated yet, of disjoint rows on any threads.
  func capture(_ source: FloatMatrix, rows range: Range<Int>) {
    guard !rows.isEmpty, let queries else { return }
    for row in range where !stretches[row].isEmpty {
      for stretch in stretches[row] { queries.copyRow(stretch, from: source, row: row) }
      rope.rotate(
        queries, headDimensions: attention.slab.headDimensions, positions: positions,
        rows: stretches[row])
    }
  }

  /// Attention of all its rows in a layer whose keys and values are written.
  func attend(layer: Int, into output: FloatMatrix) {
    guard !rows.isEmpty, let queries else { return }
    attention.select(layer: layer)
    let (attention, scale, rows, stretches) = (attention, scale, rows, stretches)
    team.forEachChunk(count: attention.units) { units in
      for unit in units { attention.attend(stretches: unit, queries: queries, scale: scale) }
    }
    team.forEachChunk(count: rows.count) { range in
      for row in range {
        attention.merge(stretches: stretches[rows[row]], into: output, row: rows[row])
      }
    }
  }
}
