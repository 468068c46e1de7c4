import MartletKernels
import MartletMachine
import Synchronization

/// Whether keys and values that lie in a file have to be waited for, and how they are best asked for.
///
/// Where a pass had blocks read from the device, the next ones ask ahead for what searches will read, as long
/// as there is something to read. Which positions are found costs nobody a value: codes lie in memory, keys
/// are ranked, and values are asked for when it is known which. Keys or values of a layer that mostly have to be
/// read anyway are asked for in order, one and two layers ahead of their turn: what blocks here and there and
/// blocks in order take was measured on the device. It changes no bit.
struct DeviceWaits {
  /// Passes that ask after one that had something read, and fewest blocks read that count.
  private static let passes = 2
  private static let fewest = 16
  /// How long it is taken for granted that keys of a layer are best read in order.
  private static let granted = 16
  /// Layers that are asked for before their turn.
  static let ahead = 2

  /// Page tables of the batch, and which one is of each row, where this pass asks ahead.
  private(set) var tables: [[PageID]] = []
  private(set) var sequences: [Int] = []
  /// Pages that any row of the pass searches, ascending.
  private(set) var pages: [Int] = []
  var isAsking: Bool { !tables.isEmpty }

  /// Passes from now on that a side of a layer is asked for in order.
  private var inOrder: [KVSide: [Int]] = [:]
  /// Blocks read by this process when the pass began.
  private var before = 0
  private var left = 0

  mutating func begin(
    _ slab: KVSlab, tables: [[PageID]], rows: [RetrievalMemory.Row], _ batch: ForwardBatch
  ) {
    guard slab.isMapped else { return }
    before = MemoryFile.blocksRead
    let asks = left > 0 && !rows.isEmpty
    self.tables = asks ? tables : []
    sequences = asks ? batch.tokens.map(\.sequence) : []
    guard asks else {
      inOrder = [:]
      return
    }
    for side in KVSide.allCases {
      inOrder[side] = (inOrder[side] ?? Array(repeating: 0, count: slab.layers)).map {
        max(0, $0 - 1)
      }
    }
    pages = Set(
      rows.flatMap { row in tables[sequences[row.row]][row.pages].map { Int($0) } }
    ).sorted()
  }

  /// Takes note of whether the pass had anything read.
  mutating func end(_ slab: KVSlab) {
    guard slab.isMapped else { return }
    left = MemoryFile.blocksRead - before >= Self.fewest ? Self.passes : max(0, left - 1)
  }

  func isInOrder(_ side: KVSide, _ layer: Int) -> Bool { (inOrder[side]?[layer] ?? 0) > 0 }

  mutating func readInOrder(_ side: KVSide, _ layer: Int) { inOrder[side]?[layer] = Self.granted }
}

extension RetrievalMemory {
  /// Attention of the rows that search, in three steps, so that what each reads is asked for before.
  func attendAsking(
    layer: Int, _ attention: AttentionBatch, _ queries: FloatMatrix, _ output: FloatMatrix
  ) {
    let (groups, heads) = (groups, slab.kvHeads)
    for later in layer == 0 ? Array(0...DeviceWaits.ahead) : [layer + DeviceWaits.ahead] {
      askInOrder(later)
    }
    if !waits.isInOrder(.keys, layer) { ask(.keys, layer, rankedPlaces(layer, queries)) }

    let all = Mutex<[Int: [[UInt32]]]>([:])
    team.forEachChunk(count: groups.count * heads, grain: 1) { units in
      withSearch { search in
        for unit in units {
          let found = find(groups[unit / heads], layer, unit % heads, search, queries)
          all.withLock { $0[unit] = found }
        }
      }
    }
    let found = all.withLock { $0 }
    if !waits.isInOrder(.values, layer) { ask(.values, layer, foundPlaces(found, layer)) }
    team.forEachChunk(count: groups.count * heads, grain: 1) { units in
      for unit in units {
        attend(
          groups[unit / heads], layer, unit % heads, found[unit], attention, queries, output)
      }
    }
  }

  private typealias Place = (page: Int, slot: Int, kvHead: Int)

  /// Asks for sides of a layer that are read in order.
  private func askInOrder(_ layer: Int) {
    guard layer < slab.layers else { return }
    for side in KVSide.allCases where waits.isInOrder(side, layer) {
      fetch(slab.stretches(side, layer: layer, pages: waits.pages))
    }
  }

  /// Asks for places of one side of a layer, or for all of it where that is sooner there; nil places are all.
  private func ask(_ side: KVSide, _ layer: Int, _ places: [Place]?) {
    let all = slab.blocks(side, pages: waits.pages.count)
    if let places {
      let blocks = slab.stretches(side, layer: layer, places: places)
      let wanted = blocks.reduce(0) { $0 + $1.count } / 4096
      guard slab.readingCost?.prefersAll(of: all, wanted: wanted) ?? false else {
        return fetch(blocks)
      }
    }
    waits.readInOrder(side, layer)
    fetch(slab.stretches(side, layer: layer, pages: waits.pages))
  }

  private func fetch(_ stretches: [UnsafeRawBufferPointer]) {
    let (slab, stretches) = (slab, Stretches(list: stretches))
    // Asking is work too: pages of memory are found for what comes.
    team.forEachChunk(count: stretches.list.count, grain: 8) { slab.prefetch(stretches.list[$0]) }
  }

  /// `@unchecked Sendable`: addresses of the slab's memory, which is there as long as the slab.
  private struct Stretches: @unchecked Sendable {
    let list: [UnsafeRawBufferPointer]
  }

  /// Where the keys lie that searches of a layer will rank; nil for everywhere.
  private func rankedPlaces(_ layer: Int, _ queries: FloatMatrix) -> [Place]? {
    let heads = slab.kvHeads
    guard
      rows.allSatisfy({
        $0.index.wanted[layer * heads..<(layer + 1) * heads].allSatisfy { $0 != nil }
      })
    else { return nil }
    let all = Mutex<[Place]>([])
    team.forEachChunk(count: rows.count * heads, grain: 1) { units in
      for unit in units {
        let (row, head) = (rows[unit / heads], unit % heads)
        let wanted = row.index.wanted(layer * heads + head, seen: row.end) ?? 0
        let ranked = scanned(row, layer, head, queries, wanted: Self.candidates(wanted))
        let places = places(ranked, row, head)
        all.withLock { $0 += places }
      }
    }
    return all.withLock { $0 }
  }

  /// Where the values lie of what was found; nil for everywhere.
  private func foundPlaces(_ found: [Int: [[UInt32]]], _ layer: Int) -> [Place]? {
    let heads = slab.kvHeads
    var all: [Place] = []
    for unit in 0..<groups.count * heads {
      guard let found = found[unit] else { return nil }
      for (row, found) in zip(rows[groups[unit / heads]], found) {
        all += places(found, row, unit % heads)
      }
    }
    return all
  }

  private func places(_ positions: [UInt32], _ row: Row, _ head: Int) -> [Place] {
    let (size, table) = (KVSlab.pageTokens, waits.tables[waits.sequences[row.row]])
    return positions.map { (Int(table[Int($0) / size]), Int($0) % size, head) }
  }
}
