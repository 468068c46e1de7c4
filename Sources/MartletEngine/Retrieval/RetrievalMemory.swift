import MartletKernels
import MartletMachine
import Synchronization

/// The indexes of a backend's pages, and attention that uses them.
///
/// Codes lie beside the pages they are of, so forks share them, and what happens to a page happens to
/// them: a page that is written to loses its codes and gets new ones when a search first needs it,
/// which is not before it is full and out of the recent window. Keys of pages that have codes are
/// turned, so that nothing else has to be kept of them. On the driver thread, except what the team's
/// workers do inside its loops.
final class RetrievalMemory: @unchecked Sendable {
  // @unchecked: changed on the driver thread only; `searches` is a Mutex.
  let options: AttentionMethod.Retrieval
  /// Tokens at fewer positions attend to everything.
  let minimum: Int
  let slab: KVSlab
  private let index: RetrievalSlab
  let team: ThreadTeam
  private let queryWidth: Int
  private let scale: Float
  /// What is known of each page.
  private var pages: [PageState] = []
  private let searches = Mutex<[Searcher]>([])

  private struct PageState {
    /// The index that its codes are of.
    var coded: PromptIndex?
    /// The index of the prompt whose last full page it is.
    var prompt: PromptIndex?
    /// By slot: the queries of all layers.
    var samples: [Int: [Float]] = [:]
    var isEmpty: Bool { coded == nil && prompt == nil && samples.isEmpty }
  }

  /// What one worker searches with.
  private final class Searcher: @unchecked Sendable {
    let search: RetrievalSearch
    init(_ slab: RetrievalSlab) { search = RetrievalSearch(slab: slab) }
  }

  /// A row that searches in the pass at hand.
  struct Row {
    let row: Int
    let index: PromptIndex
    let table: RetrievalSearch.Table
    /// The pages that are searched; the row attends to all positions before and after them, up to `end`.
    let pages: Range<Int>
    let end: Int
    /// Slots of the last positions, in a tree of guesses.
    let path: [Int]
  }

  /// The rows of the pass that search, those with one index in a row, and those whose queries are
  /// kept.
  private(set) var rows: [Row] = []
  private var captured: [(row: Int, page: Int, slot: Int)] = []

  init(
    _ options: AttentionMethod.Retrieval, slab: KVSlab, queryHeads: Int, scale: Float,
    team: ThreadTeam, placement: MemoryPlacement?
  ) throws(KernelError) {
    self.options = options
    minimum = options.minimumPositions ?? AttentionMethod.Retrieval.standardMinimum
    self.slab = slab
    self.team = team
    self.scale = scale
    queryWidth = queryHeads * slab.headDimensions
    index = try RetrievalSlab(
      shape: RetrievalShape(headDimensions: slab.headDimensions, nibbles: options.nibbles),
      layers: slab.layers, kvHeads: slab.kvHeads, byteLimit: physicalMemoryLimit(),
      placement: placement)
  }

  /// Seconds of learning.
  struct LearningTimes {
    var fit = 0.0
    var settle = 0.0
    var all = 0.0
  }

  /// The last index learned, and how long that took; for reports.
  private(set) var lastLearned: (index: PromptIndex, times: LearningTimes)?

  /// Bytes that codes take beside one page.
  var bytesPerPage: Int { index.bytesPerPage }

  func reserve(_ count: Int) throws(KernelError) {
    try index.reserve(count)
    if pages.count < count {
      pages.append(contentsOf: repeatElement(PageState(), count: count - pages.count))
    }
  }

  // MARK: What happens to pages

  func copied(from source: Int, to target: Int, positions: Int) {
    pages[target] = PageState(samples: pages[source].samples.filter { $0.key < positions })
  }

  func moved(to page: Int) {
    pages[page].coded = nil
    pages[page].prompt = nil
  }

  /// A page holds what another prompt left: nothing that was learned there holds here.
  func taken(_ page: Int) { pages[page] = PageState() }

  /// The positions of a prompt whose queries are kept when they are processed.
  func sampledPositions(prompt: Int) -> [Int] {
    isLong(prompt) ? QuerySamples.positions(prompt: prompt) : []
  }

  // MARK: A pass

  /// Takes in a batch: which rows search, which queries are kept, which pages change. Learns and
  /// codes what the searches need.
  func begin(_ batch: ForwardBatch) throws(KernelError) {
    rows = []
    captured = []
    for row in batch.tokens.indices { note(row, batch) }
    // Nothing is coded that this pass writes: what is searched was full before.
    for (sequence, table) in batch.sequences.enumerated() {
      let own = batch.tokens.indices.filter {
        batch.tokens[$0].sequence == sequence && searches(batch.tokens[$0], batch)
      }
      guard let last = own.map({ batch.tokens[$0].position }).max() else { continue }
      let prompt = try promptIndex(table, prompt: batch.promptTokens(of: sequence))
      // Then these tokens attend as if there were no retrieval, at the same cost.
      guard prompt.isUsed else { continue }
      let first = firstSearchedPage(prompt: batch.promptTokens(of: sequence))
      encode(
        table[first..<max(first, options.searchedPages(before: last + 1).upperBound)], by: prompt)
      let addresses = index.table(table, of: slab)
      for row in own {
        let token = batch.tokens[row]
        let all = options.searchedPages(before: token.position + 1)
        let pages = min(max(all.lowerBound, first), all.upperBound)..<all.upperBound
        rows.append(
          Row(
            row: row, index: prompt, table: addresses,
            pages: pages, end: token.position + 1, path: token.path))
      }
    }
    groups = Self.grouped(rows, most: mostTogether)
    waits.begin(slab, tables: batch.sequences, rows: rows, batch)
  }

  /// Whether reading keys and values waits for a device.
  var waits = DeviceWaits()

  /// Rows that search together: some of those with one index.
  private(set) var groups: [Range<Int>] = []

  /// As many as leave every worker two units of each layer.
  private var mostTogether: Int {
    max(1, min(8, rows.count * slab.kvHeads / (2 * team.width)))
  }

  private static func grouped(_ rows: [Row], most: Int) -> [Range<Int>] {
    var groups: [Range<Int>] = []
    for row in rows.indices {
      if let last = groups.last, last.count < most, rows[last.lowerBound].index === rows[row].index
      {
        groups[groups.count - 1] = last.lowerBound..<row + 1
      } else {
        groups.append(row..<row + 1)
      }
    }
    return groups
  }

  private func note(_ row: Int, _ batch: ForwardBatch) {
    let token = batch.tokens[row]
    let page = Int(batch.sequences[token.sequence][token.slot / KVSlab.pageTokens])
    let slot = token.slot % KVSlab.pageTokens
    let prompt = batch.promptTokens(of: token.sequence)
    if !pages[page].isEmpty {
      // A page that fills over several passes keeps what its earlier slots left.
      let kept = token.position < prompt ? pages[page].samples.filter { $0.key < slot } : [:]
      pages[page] = PageState(samples: kept)
    }
    if token.position < prompt, isSampled(token.position, prompt: prompt) {
      captured.append((row, page, slot))
    }
  }

  /// Whether an index is learned from the prompt itself.
  private func isLong(_ prompt: Int) -> Bool {
    prompt >= minimum / 4 && QuerySamples.suffice(prompt: prompt)
  }

  /// Where searches begin at the earliest: behind the first positions from which branches of a short prompt learn
  /// indexes of their own, because they may share pages there, and a page has codes of one index.
  private func firstSearchedPage(prompt: Int) -> Int {
    isLong(prompt) ? 0 : minimum / 2 / KVSlab.pageTokens
  }

  private var sampled: (prompt: Int, positions: Set<Int>) = (0, [])

  private func isSampled(_ position: Int, prompt: Int) -> Bool {
    guard isLong(prompt) else { return false }
    if sampled.prompt != prompt {
      sampled = (prompt, Set(QuerySamples.positions(prompt: prompt)))
    }
    return sampled.positions.contains(position)
  }

  /// Whether a token finds what it attends to: a rule of its position and prompt alone.
  private func searches(_ token: BatchToken, _ batch: ForwardBatch) -> Bool {
    token.position >= batch.promptTokens(of: token.sequence)
      && token.position >= minimum
  }

  /// Keeps queries of prompts, rotated as they meet the keys.
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

  /// Attention of the rows that search, in a layer that `attention` has selected.
  func attend(
    layer: Int, _ attention: AttentionBatch, queries: FloatMatrix, into output: FloatMatrix
  ) {
    guard !rows.isEmpty else { return }
    if waits.isAsking {
      attendAsking(layer: layer, attention, queries, output)
    } else {
      let (groups, heads) = (groups, slab.kvHeads)
      team.forEachChunk(count: groups.count * heads, grain: 1) { units in
        withSearch { search in
          for unit in units {
            let (group, head) = (groups[unit / heads], unit % heads)
            let found = find(group, layer, head, search, queries)
            attend(group, layer, head, found, attention, queries, output)
          }
        }
      }
    }
    if layer == slab.layers - 1 { waits.end(slab) }
  }

  /// Has `body` search; on any thread.
  func withSearch<R>(_ body: (RetrievalSearch) -> R) -> R {
    let searcher = searches.withLock { $0.popLast() } ?? Searcher(index)
    defer { searches.withLock { $0.append(searcher) } }
    return body(searcher.search)
  }

  /// One group of rows, one key-value head, and what each row has found; nil where the head attends to all.
  func attend(
    _ group: Range<Int>, _ layer: Int, _ head: Int, _ found: [[UInt32]]?,
    _ attention: AttentionBatch, _ queries: FloatMatrix, _ output: FloatMatrix
  ) {
    guard let found else {
      for rows in Self.neighbours(rows[group].map(\.row)) {
        attention.attend(
          queries: queries, scale: scale, into: output, rows: rows, kvHeads: head..<head + 1)
      }
      return
    }
    for (row, found) in zip(rows[group], found) {
      let path = Kernels.retrievalPath(found: found, around: row.pages, end: row.end)
        .along(row.path, end: row.end)
      attention.attend(
        rows: row.row..<row.row + 1, kvHead: head, path: path, queries: queries, scale: scale,
        into: output)
    }
  }

  /// What each row of a group finds; nil where the head attends to everything.
  func find(
    _ group: Range<Int>, _ layer: Int, _ head: Int, _ search: RetrievalSearch,
    _ queries: FloatMatrix
  ) -> [[UInt32]]? {
    let number = layer * slab.kvHeads + head
    let prompt = rows[group.lowerBound].index
    guard prompt.wanted[number] != nil else { return nil }
    let codebook = prompt.codebooks[number]
    do throws(KernelError) {
      return try search.search(
        queries,
        rows[group].map { row in
          let wanted = row.index.wanted(number, seen: row.end) ?? 0
          return .init(
            queries: row.row..<row.row + 1, table: row.table, pages: row.pages, wanted: wanted,
            candidates: Self.candidates(wanted))
        }, layer: layer, kvHead: head, codebook: codebook)
    } catch {
      // Without memory for a search everything is attended to: slower, never wrong.
      return rows[group].map { row in
        let size = KVSlab.pageTokens
        return (row.pages.lowerBound * size..<row.pages.upperBound * size).map(UInt32.init)
      }
    }
  }

  /// Ascending numbers as ranges.
  private static func neighbours(_ rows: [Int]) -> [Range<Int>] {
    rows.reduce(into: []) { ranges, row in
      if let last = ranges.last, last.upperBound == row {
        ranges[ranges.count - 1] = last.lowerBound..<row + 1
      } else {
        ranges.append(row..<row + 1)
      }
    }
  }

  /// What the scan hands on to be ranked by keys.
  static func candidates(_ wanted: Int) -> Int { 2 * wanted + 64 }

  /// What the first pass of a row's search hands on, without looking at keys.
  func scanned(
    _ row: Row, _ layer: Int, _ head: Int, _ queries: FloatMatrix, wanted: Int
  ) -> [UInt32] {
    withSearch { search in
      let found = try? search.search(
        queries, rows: row.row..<row.row + 1, table: row.table, layer: layer, kvHead: head,
        codebook: row.index.codebooks[layer * slab.kvHeads + head], pages: row.pages,
        wanted: wanted)
      return found ?? []
    }
  }

  // MARK: Learning

  private func encode(_ table: ArraySlice<PageID>, by prompt: PromptIndex) {
    let missing = table.filter { pages[Int($0)].coded !== prompt }
    guard !missing.isEmpty else { return }
    let (layers, heads) = (slab.layers, slab.kvHeads)
    let (index, slab) = (index, slab)
    team.forEachChunk(count: missing.count * layers * heads) { units in
      for unit in units {
        let (page, head) = (missing[unit / (layers * heads)], unit % (layers * heads))
        index.encode(
          page: Int(page), layer: head / heads, kvHead: head % heads, of: slab,
          codebook: prompt.codebooks[head])
        if !slab.isTurned(Int(page)) {
          slab.turnKeys(page: Int(page), layer: head / heads, kvHead: head % heads)
        }
      }
    }
    slab.markTurned(missing.lazy.map { Int($0) })
    for page in missing { pages[Int(page)].coded = prompt }
    slab.cool(pages: missing.lazy.map { Int($0) })
  }

  /// The index of a prompt, learned now if it is not yet; of the sequence's first positions where the
  /// prompt was too short to learn from.
  private func promptIndex(
    _ table: [PageID], prompt: Int
  ) throws(KernelError) -> PromptIndex {
    let size = KVSlab.pageTokens
    let count =
      isLong(prompt) ? QuerySamples.fullPages(prompt: prompt) : minimum / 2 / size
    let key = Int(table[count - 1])
    if let known = pages[key].prompt { return known }
    var times = LearningTimes()
    let begin = monotonicNanoseconds()
    let learned = try learn(Array(table[..<count]), &times)
    times.all = Double(monotonicNanoseconds() - begin) * 1e-9
    lastLearned = (learned, times)
    pages[key].prompt = learned
    for page in table[..<count] { pages[Int(page)].samples = [:] }
    return learned
  }

  private static func timed<R>(
    _ seconds: inout Double, _ body: () throws(KernelError) -> R
  ) throws(KernelError) -> R {
    let begin = monotonicNanoseconds()
    let result = try body()
    seconds = Double(monotonicNanoseconds() - begin) * 1e-9
    return result
  }

  private func learn(
    _ table: [PageID], _ times: inout LearningTimes
  ) throws(KernelError) -> PromptIndex {
    let samples = try gatherSamples(table)
    let codebooks = try Self.timed(&times.fit) { () throws(KernelError) in
      try fit(table, samples)
    }
    let positions = table.count * KVSlab.pageTokens
    let draft = PromptIndex(
      codebooks: codebooks,
      wanted: Array(repeating: options.wanted ?? 64 + positions / 64, count: codebooks.count),
      positions: positions)
    encode(table[...], by: draft)
    guard options.wanted == nil, !samples.isEmpty else { return draft }
    let settled = try Self.timed(&times.settle) { () throws(KernelError) in
      try WantedSearch(
        slab: slab, index: index, team: team, scale: scale, options: options, table: table,
        samples: samples
      ).settle(draft)
    }
    for page in table { pages[Int(page)].coded = settled.isUsed ? settled : nil }
    // Attention reads fastest what is as it was written, unless rows of this pass search it already.
    if !settled.isUsed && rows.isEmpty {
      for page in table { slab.turnBack(page: Int(page)) }
    }
    return settled
  }

  /// A codebook per layer and key-value head.
  private func fit(
    _ table: [PageID], _ samples: [FloatMatrix]
  ) throws(KernelError) -> [RetrievalCodebook] {
    let (layers, heads) = (slab.layers, slab.kvHeads)
    let fits = Mutex<[Int: Result<RetrievalCodebook, KernelError>]>([:])
    let (slab, shape) = (slab, index.shape)
    team.forEachChunk(count: layers * heads, grain: 1) { units in
      for unit in units {
        let fit: Result<RetrievalCodebook, KernelError>
        do throws(KernelError) {
          fit = .success(
            try RetrievalCodebook(
              fitting: shape, to: slab, layer: unit / heads, kvHead: unit % heads, pages: table,
              queries: samples.isEmpty ? nil : samples[unit / heads]))
        } catch {
          fit = .failure(error)
        }
        fits.withLock { $0[unit] = fit }
      }
    }
    let all = fits.withLock { $0 }
    var codebooks: [RetrievalCodebook] = []
    for unit in 0..<layers * heads { codebooks.append(try all[unit]!.get()) }
    return codebooks
  }

  /// The queries kept of a prompt's pages, a matrix per layer, in order of position; none where some
  /// are missing.
  private func gatherSamples(_ table: [PageID]) throws(KernelError) -> [FloatMatrix] {
    var list: [[Float]] = []
    for page in table {
      for (_, sample) in pages[Int(page)].samples.sorted(by: { $0.key < $1.key }) {
        list.append(sample)
      }
    }
    guard list.count >= QuerySamples.last else { return [] }
    var matrices: [FloatMatrix] = []
    for layer in 0..<slab.layers {
      let matrix = try FloatMatrix(rows: list.count, columns: queryWidth)
      for (row, sample) in list.enumerated() {
        matrix.setRow(row, Array(sample[layer * queryWidth..<(layer + 1) * queryWidth]))
      }
      matrices.append(matrix)
    }
    return matrices
  }
}
