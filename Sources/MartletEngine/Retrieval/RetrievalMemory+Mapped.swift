import MartletKernels
import MartletMachine

/// Whether keys and values that lie in a file have to be waited for.
///
/// When they do, what a search will read is asked for ahead, which takes a scan more. So it is done only
/// where passes were seen to wait, for some passes; then one tries without. It changes no bit.
struct DeviceWaits {
  private static let passes = 16
  /// Fewer waits in a pass are not worth a scan.
  private static let fewest = 16

  /// Page tables of the batch, where this pass asks ahead; empty where it does not.
  private(set) var tables: [[PageID]] = []
  /// The sequence of each row of the batch.
  private(set) var sequences: [Int] = []
  /// Waits of this process when the pass began, and in the pass before.
  private var faults = 0
  private var waited = 0
  private var left = 0

  mutating func begin(_ slab: KVSlab, tables: [[PageID]], _ batch: ForwardBatch) {
    guard slab.isMapped else { return }
    left = waited >= Self.fewest ? Self.passes : max(0, left - 1)
    waited = 0
    faults = MemoryFile.majorFaults
    let asks = left > 0 && !tables.isEmpty
    self.tables = asks ? tables : []
    sequences = asks ? batch.tokens.map(\.sequence) : []
  }

  /// Counts the waits of a pass that searched.
  mutating func end(_ slab: KVSlab) {
    guard slab.isMapped else { return }
    waited = MemoryFile.majorFaults - faults
  }
}

extension RetrievalMemory {
  /// Has keys and values fetched that searches of a layer may read, for all rows and heads at once, so
  /// that a device works on many of them while threads wait for few.
  func prefetch(layer: Int, _ queries: FloatMatrix) {
    guard !waits.tables.isEmpty, !rows.isEmpty else { return }
    let heads = slab.kvHeads
    team.forEachChunk(count: rows.count * heads, grain: 1) { units in
      for unit in units {
        let (row, head) = (rows[unit / heads], unit % heads)
        guard let wanted = row.index.wanted(layer * heads + head, seen: row.end) else { continue }
        let positions = scanned(
          row, layer, head, queries, wanted: Self.candidates(wanted))
        slab.prefetch(
          positions, table: waits.tables[waits.sequences[row.row]], layer: layer, kvHead: head)
      }
    }
  }
}
