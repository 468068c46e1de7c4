import CMartlet

/// How a batch's attention is cut into units for threads.
///
/// Sequences are sorted by their page tables, so that rows which share pages are neighbours, and
/// cut into blocks of as many rows as the kernel keeps together. A unit is a block and a key-value
/// head; where there are too few units for the threads, long blocks are split into runs of chunks
/// whose records a merge puts together. None of this changes a result.
struct AttentionPlan {
  /// Neighbouring rows that meet each shared page together.
  struct Block {
    /// Indices into `order`.
    var rows: Range<Int>
    /// Chunks that any of its rows sees.
    var chunks: Range<Int>
    /// Into how many runs of chunks it is split, and where its records begin.
    var pieces = 1
    var record = 0
    /// Query vectors times pages, and what reading the pages costs in that unit.
    var cost: Int
  }
  struct Unit {
    var block: Int
    var kvHead: Int
    var chunks: Range<Int>
    var cost: Int
  }
  struct Merge {
    var block: Int
    var kvHead: Int
  }

  /// The batch's rows, those that share pages next to each other.
  private(set) var order: [Int] = []
  private(set) var blocks: [Block] = []
  private(set) var units: [Unit] = []
  private(set) var merges: [Merge] = []
  /// Records of partial results that the split blocks need.
  private(set) var records = 0

  /// Whether every unit leaves records and nothing is merged: rows are then stretches that other rows see,
  /// and those of one stretch are together.
  private(set) var keepsRecords = false
  private var kvHeads = 0
  private var group = 0
  /// Pages that a row has in common with the row before it in `order`.
  private var common: [Int] = []

  /// Query vectors that the kernel works on together.
  private static let blockQueries = 64
  /// Reading a page costs about as much as this many query vectors' arithmetic on it.
  private static let readCost = 6
  private static let chunkTokens = Int(MARTLET_ATTENTION_CHUNK_TOKENS)

  /// Plans a batch for `threads` threads.
  mutating func make(
    tables: [[Int32]], rows: [AttentionRow], kvHeads: Int, group: Int, threads: Int,
    planned: [Int]? = nil, keepsRecords: Bool = false
  ) {
    self.keepsRecords = keepsRecords
    self.kvHeads = kvHeads
    self.group = group
    sort(tables, rows, planned ?? Array(rows.indices))
    cut(rows)
    if threads > 1 { split(threads) }
    list()
  }

  /// Undoes the splitting of blocks.
  mutating func join() {
    for index in blocks.indices { blocks[index].pieces = 1 }
    list()
  }

  private mutating func sort(_ tables: [[Int32]], _ rows: [AttentionRow], _ planned: [Int]) {
    order.removeAll(keepingCapacity: true)
    common.removeAll(keepingCapacity: true)
    order.append(contentsOf: planned)
    if tables.count > 1 {
      let sorted = tables.indices.sorted { tables[$0].lexicographicallyPrecedes(tables[$1]) }
      var rank = [Int](repeating: 0, count: tables.count)
      for (place, sequence) in sorted.enumerated() { rank[sequence] = place }
      let isFirst = keepsRecords
      order.sort {
        (isFirst ? rows[$0].first : 0, rank[rows[$0].sequence], $0)
          < (isFirst ? rows[$1].first : 0, rank[rows[$1].sequence], $1)
      }
    }
    for (place, index) in order.enumerated() {
      guard place > 0 else {
        common.append(0)
        continue
      }
      let (before, after) = (rows[order[place - 1]].sequence, rows[index].sequence)
      common.append(
        before == after ? .max : zip(tables[before], tables[after]).prefix { $0 == $1 }.count)
    }
  }

  private mutating func cut(_ rows: [AttentionRow]) {
    blocks.removeAll(keepingCapacity: true)
    let most = max(1, Self.blockQueries / group)
    var begin = 0
    while begin < order.count {
      var end = min(order.count, begin + most)
      if keepsRecords {
        let head = rows[order[begin]]
        end =
          order[begin..<end].firstIndex {
            rows[$0].first != head.first || (head.first > 0 && rows[$0].sequence != head.sequence)
          } ?? end
      }
      var (first, last, cost) = (Int.max, 0, 0)
      for place in begin..<end {
        let row = rows[order[place]]
        first = min(first, row.first)
        last = max(last, row.position)
        let pages = row.position / KVSlab.pageTokens + 1 - row.first / KVSlab.pageTokens
        let shared = place == begin ? 0 : min(pages, common[place])
        cost += pages * group + (pages - shared) * Self.readCost
      }
      let chunks = first / Self.chunkTokens..<last / Self.chunkTokens + 1
      blocks.append(Block(rows: begin..<end, chunks: chunks, cost: cost))
      begin = end
    }
  }

  /// Splits blocks so that no unit is much more than a quarter of a thread's share.
  private mutating func split(_ threads: Int) {
    let share = max(1, blocks.reduce(0) { $0 + $1.cost } * kvHeads / (4 * threads))
    for index in blocks.indices {
      let wanted = (blocks[index].cost + share / 2) / share
      blocks[index].pieces = max(1, min(blocks[index].chunks.count, wanted))
    }
  }

  private mutating func list() {
    units.removeAll(keepingCapacity: true)
    merges.removeAll(keepingCapacity: true)
    records = 0
    for index in blocks.indices {
      let block = blocks[index]
      let (pieces, chunks) = (block.pieces, block.chunks)
      if pieces > 1 || keepsRecords {
        blocks[index].record = records
        records += chunks.count * block.rows.count * kvHeads * group
      }
      for kvHead in 0..<kvHeads {
        if pieces > 1 && !keepsRecords { merges.append(Merge(block: index, kvHead: kvHead)) }
        for piece in 0..<pieces {
          let part =
            chunks.lowerBound + chunks.count * piece / pieces..<chunks.lowerBound + chunks.count
            * (piece + 1) / pieces
          units.append(
            Unit(block: index, kvHead: kvHead, chunks: part, cost: block.cost / pieces))
        }
      }
    }
    // Costliest first: what is left at the end is small.
    units.sort { $0.cost > $1.cost }
  }
}
