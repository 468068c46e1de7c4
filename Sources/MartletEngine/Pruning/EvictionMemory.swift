import Foundation
import MartletKernels
import MartletMachine
import Synchronization

/// What every head has left of each sequence, and attention to that.
///
/// What is left once a page is full lies beside that page, so forks share it, and what happens to a page
/// happens to it: a page that is written to loses it. The query at the last position of a page lies there
/// too, so that a sequence cut back can be decided anew. Where a page ends within a pass (appended text,
/// trees of guesses), it is decided layer by layer within the pass, from the same queries to the same
/// bits. On the driver thread, except what the team's workers do inside its loops.
final class EvictionMemory: @unchecked Sendable {
  // @unchecked: changed on the driver thread only.
  private let rule: EvictionRule
  private let slab: KVSlab
  private let team: ThreadTeam
  private let queryWidth: Int
  private let scale: Float
  private var pages: [PageState] = []
  private let empty: KeptPositions

  private struct PageState {
    var kept: KeptPositions?
    /// By slot, the queries of all layers: of tokens whose position is the last of a page.
    var samples: [Int: [Float]] = [:]
    var isEmpty: Bool { kept == nil && samples.isEmpty }
  }

  /// A row that leaves something out in the pass at hand.
  struct Row {
    let row: Int
    let sequence: Int
    let base: KeptPositions
    /// Pages that end within the pass before the row's own, and the rows of their last tokens.
    let ends: [(page: Int, row: Int)]
    let full: Int
    /// From where on it attends to everything, up to `end`.
    let recent: Int
    let end: Int
  }
  private(set) var rows: [Row] = []
  private var groups: [Range<Int>] = []
  private var trees: [[Int]] = []
  private var tables: [[PageID]] = []
  private var captured: [(row: Int, page: Int, slot: Int)] = []

  init(
    _ rule: EvictionRule, slab: KVSlab, queryHeads: Int, scale: Float, team: ThreadTeam
  ) {
    self.rule = rule
    self.slab = slab
    self.team = team
    self.scale = scale
    queryWidth = queryHeads * slab.headDimensions
    empty = KeptPositions(
      full: -1,
      heads: Array(
        repeating: KeptHead(components: rule.components), count: slab.layers * slab.kvHeads))
  }

  /// Bytes of the query that is kept beside a page.
  var bytesPerPage: Int { slab.layers * queryWidth * MemoryLayout<Float>.stride }

  func reserve(_ count: Int) {
    if pages.count < count {
      pages.append(contentsOf: repeatElement(PageState(), count: count - pages.count))
    }
  }

  // MARK: What happens to pages

  func copied(from source: Int, to target: Int, positions: Int) {
    pages[target] = PageState(samples: pages[source].samples.filter { $0.key < positions })
  }

  func moved(from source: (page: Int, slot: Int), to target: (page: Int, slot: Int)) {
    pages[target.page].kept = nil
    pages[target.page].samples[target.slot] = pages[source.page].samples[source.slot]
  }

  // MARK: A pass

  /// Takes in a batch: which rows leave something out, and of which pages the query is kept. Decides
  /// about pages that have ended before.
  func begin(_ batch: ForwardBatch) throws(KernelError) {
    rows = []
    groups = []
    captured = []
    trees = batch.tokens.map(\.path)
    tables = batch.sequences
    for row in batch.tokens.indices { note(row, batch) }
    guard batch.tokens.contains(where: { prunes($0, batch) }) else { return }
    let ends = pageEnds(batch)
    var first = [Int](repeating: .max, count: batch.sequences.count)
    for token in batch.tokens {
      first[token.sequence] = min(first[token.sequence], token.position)
    }
    for row in batch.tokens.indices where prunes(batch.tokens[row], batch) {
      rows.append(try make(row, batch, ends, from: first[batch.tokens[row].sequence]))
    }
    groups = rows.indices.reduce(into: []) { groups, row in
      if let last = groups.last, rows[last.lowerBound].sequence == rows[row].sequence {
        groups[groups.count - 1] = last.lowerBound..<row + 1
      } else {
        groups.append(row..<row + 1)
      }
    }
  }

  private func full(_ sequence: Int, _ batch: ForwardBatch) -> Int {
    // The page with the prompt's last token may be processed again.
    max(0, batch.promptTokens(of: sequence) - 1) / KVSlab.pageTokens
  }

  private func prunes(_ token: BatchToken, _ batch: ForwardBatch) -> Bool {
    token.position >= batch.promptTokens(of: token.sequence)
      && rule.prunes(position: token.position, full: full(token.sequence, batch))
  }

  private func note(_ row: Int, _ batch: ForwardBatch) {
    let token = batch.tokens[row]
    let (index, slot) = (token.slot / KVSlab.pageTokens, token.slot % KVSlab.pageTokens)
    let page = Int(batch.sequences[token.sequence][index])
    if !pages[page].isEmpty {
      pages[page].kept = nil
      pages[page].samples[slot] = nil
    }
    if token.position % KVSlab.pageTokens == KVSlab.pageTokens - 1,
      rule.observes(
        page: token.position / KVSlab.pageTokens, full: full(token.sequence, batch))
    {
      captured.append((row, page, slot))
    }
  }

  /// The rows of tokens that end a page, by sequence and slot.
  private func pageEnds(_ batch: ForwardBatch) -> [[Int: Int]] {
    var ends = [[Int: Int]](repeating: [:], count: batch.sequences.count)
    for (row, token) in batch.tokens.enumerated()
    where token.position % KVSlab.pageTokens == KVSlab.pageTokens - 1 {
      ends[token.sequence][token.slot] = row
    }
    return ends
  }

  /// - Parameter first: the first position of the sequence that the pass processes.
  private func make(
    _ row: Int, _ batch: ForwardBatch, _ ends: [[Int: Int]], from first: Int
  ) throws(KernelError) -> Row {
    let (token, size) = (batch.tokens[row], KVSlab.pageTokens)
    let full = full(token.sequence, batch)
    let page = token.position / size
    let decisive = rule.decisive(page: page, full: full)
    let known = min(decisive, first / size - 1)
    let base = try kept(batch.sequences[token.sequence], after: known, full: full)
    let end = token.position + 1
    let within = known < decisive ? Array(known + 1...decisive) : []
    return Row(
      row: row, sequence: token.sequence, base: base,
      ends: within.map { page in
        let last = page * size + size - 1
        let slot = last < end - token.path.count ? last : token.path[last - end + token.path.count]
        guard let row = ends[token.sequence][slot] else {
          preconditionFailure("position \(last) was processed neither before nor in this pass")
        }
        return (page, row)
      }, full: full, recent: rule.firstRecent(page: page, full: full), end: end)
  }

  /// Keeps queries at the ends of pages, rotated as they meet the keys.
  func capture(layer: Int, _ queries: FloatMatrix) {
    for (row, page, slot) in captured {
      var sample =
        pages[page].samples[slot] ?? [Float](repeating: 0, count: slab.layers * queryWidth)
      sample.replaceSubrange(
        layer * queryWidth..<(layer + 1) * queryWidth, with: queries.row(row))
      pages[page].samples[slot] = sample
    }
  }

  // MARK: Attention

  /// Attention of the rows that leave something out, in a layer that `attention` has selected.
  func attend(
    layer: Int, _ attention: AttentionBatch, queries: FloatMatrix, into output: FloatMatrix
  ) {
    let heads = slab.kvHeads
    team.forEachChunk(count: groups.count * heads, grain: 1) { units in
      var scratch: [Float] = []
      for unit in units {
        attend(
          rows[groups[unit / heads]], layer, unit % heads, attention, queries, output, &scratch)
      }
    }
  }

  /// The rows of one sequence, one key-value head.
  private func attend(
    _ rows: ArraySlice<Row>, _ layer: Int, _ head: Int, _ attention: AttentionBatch,
    _ queries: FloatMatrix, _ output: FloatMatrix, _ scratch: inout [Float]
  ) {
    var decided: [Int: KeptHead] = [:]
    for row in rows {
      var state = row.base.heads[layer * slab.kvHeads + head]
      for end in row.ends {
        if let known = decided[end.row] {
          state = known
          continue
        }
        let observer = Observer(
          attention: attention, queries: queries, row: end.row, tree: trees[end.row],
          table: tables[row.sequence])
        fold(&state, page: end.page, full: row.full, layer, head, observer, &scratch)
        decided[end.row] = state
      }
      let found = state.positions.prefix { $0 < row.recent }
      let path = Kernels.retrievalPath(
        found: Array(found), sinks: 0, recent: row.recent, end: row.end)
      attention.attend(
        rows: row.row..<row.row + 1, kvHead: head, path: path.along(trees[row.row], end: row.end),
        queries: queries, scale: scale, into: output)
    }
  }

  /// A query that says what positions are worth.
  private struct Observer {
    let attention: AttentionBatch
    let queries: FloatMatrix
    /// nil where the query is not known.
    let row: Int?
    let tree: [Int]
    let table: [PageID]
  }

  /// Takes in a page that has ended: its positions, what its last query gave to all that its head had,
  /// and what leaves.
  private func fold(
    _ state: inout KeptHead, page: Int, full: Int, _ layer: Int, _ head: Int,
    _ observer: Observer, _ scratch: inout [Float]
  ) {
    state.append(page: page)
    if let row = observer.row, rule.observes(page: page, full: full) {
      let end = (page + 1) * KVSlab.pageTokens
      // All positions there are need no list.
      let path =
        state.positions.count == end ? nil : state.positions.along(observer.tree, end: end)
      switch rule {
      case .heavyHitters:
        observer.attention.addWeights(
          of: row, kvHead: head, path: path, queries: observer.queries, scale: scale,
          scratch: &scratch, into: &state.scores[0])
      case .importance:
        let count = observer.attention.weights(
          of: row, kvHead: head, path: path, queries: observer.queries, scale: scale,
          into: &scratch)
        addNorms(&state, layer, head, observer.table)
        state.add(scratch, count: count, group: queryWidth / slab.headDimensions / slab.kvHeads)
      }
    }
    rule.trim(&state, page: page, full: full)
  }

  /// Lengths of the values that came since the last time.
  private func addNorms(_ state: inout KeptHead, _ layer: Int, _ head: Int, _ table: [PageID]) {
    var key = [Float](repeating: 0, count: slab.headDimensions)
    var value = key
    for position in state.positions[state.norms.count...] {
      let (page, slot) = Int(position).quotientAndRemainder(dividingBy: KVSlab.pageTokens)
      slab.read(
        page: Int(table[page]), slot: slot, layer: layer, kvHead: head, key: &key, value: &value)
      state.norms.append(value.reduce(0) { $0 + $1 * $1 }.squareRoot())
    }
  }

  // MARK: Deciding

  /// What is left of a sequence once its page `last` has ended; -1 for nothing yet.
  private func kept(
    _ table: [PageID], after last: Int, full: Int
  ) throws(KernelError) -> KeptPositions {
    var known = last
    while known >= 0, pages[Int(table[known])].kept?.full != full { known -= 1 }
    let base = known >= 0 ? pages[Int(table[known])].kept ?? empty : empty
    guard known < last else { return base }
    let decided = try decide(table, known + 1...last, from: base, full: full)
    pages[Int(table[last])].kept = decided
    // What a fork may go on from stays: the last two, and the prompt's.
    for page in 0..<max(0, last - 1) where page != full - 1 {
      pages[Int(table[page])].kept = nil
    }
    return decided
  }

  private func decide(
    _ table: [PageID], _ ended: ClosedRange<Int>, from base: KeptPositions, full: Int
  ) throws(KernelError) -> KeptPositions {
    turn(table[...ended.upperBound])
    let samples = ended.map { pages[Int(table[$0])].samples[KVSlab.pageTokens - 1] }
    let rows = ended.map {
      AttentionRow(sequence: 0, position: ($0 + 1) * KVSlab.pageTokens - 1)
    }
    var layers: [(batch: AttentionBatch, queries: FloatMatrix)] = []
    for layer in 0..<slab.layers {
      let queries = try FloatMatrix(rows: rows.count, columns: queryWidth)
      for (row, sample) in samples.enumerated() {
        guard let sample else { continue }
        queries.setRow(row, Array(sample[layer * queryWidth..<(layer + 1) * queryWidth]))
      }
      let batch = AttentionBatch(slab: slab)
      batch.begin(
        tables: [table], rows: rows, queryHeads: queryWidth / slab.headDimensions, planned: [])
      batch.select(layer: layer)
      layers.append((batch, queries))
    }
    let heads = slab.kvHeads
    let found = Mutex<[Int: KeptHead]>([:])
    let all = layers
    team.forEachChunk(count: all.count * heads, grain: 1) { units in
      var scratch: [Float] = []
      for unit in units {
        var state = base.heads[unit]
        for (row, page) in ended.enumerated() {
          let observer = Observer(
            attention: all[unit / heads].batch, queries: all[unit / heads].queries,
            row: samples[row] == nil ? nil : row, tree: [], table: table)
          fold(&state, page: page, full: full, unit / heads, unit % heads, observer, &scratch)
        }
        let decided = state
        found.withLock { $0[unit] = decided }
      }
    }
    let states = found.withLock { $0 }
    return KeptPositions(full: full, heads: (0..<all.count * heads).map { states[$0]! })
  }

  /// Turns the keys of pages that have ended, so that single positions are read at once.
  private func turn(_ table: ArraySlice<PageID>) {
    let slab = slab
    let missing = table.filter { !slab.isTurned(Int($0)) }
    let (layers, heads) = (slab.layers, slab.kvHeads)
    team.forEachChunk(count: missing.count * layers * heads) { units in
      for unit in units {
        slab.turnKeys(
          page: Int(missing[missing.startIndex + unit / (layers * heads)]),
          layer: unit / heads % layers, kvHead: unit % heads)
      }
    }
    slab.markTurned(missing.lazy.map { Int($0) })
  }
}

extension KeptHead {
  /// Adds what a group of query heads gave to each position: the weight, its part of the entropy, and
  /// how far the output would move without the position.
  fileprivate mutating func add(_ weights: [Float], count: Int, group: Int) {
    for head in 0..<group {
      for index in 0..<count {
        let weight = weights[head * count + index]
        scores[0][index] += weight
        if weight > 0 { scores[1][index] -= weight * log(weight) }
        scores[2][index] += weight * norms[index]
      }
    }
  }
}
