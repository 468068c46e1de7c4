import Foundation
import MartletKernels
import Testing

/// The door over the index of retrieval attention.
struct RetrievalDoorTests {
  private let kvHeads = 2, group = 2, dimensions = 32

  @Test func impossibleShapesAreErrors() {
    for (dimensions, nibbles) in [(0, 32), (257, 32), (64, 0), (64, 12), (64, 264)] {
      #expect(throws: KernelError.self) {
        try RetrievalShape(headDimensions: dimensions, nibbles: nibbles)
      }
    }
  }

  /// Keys of clusters, and queries of which each looks for one of them.
  private func sequence(
    pages: Int, type: KVType = .bf16
  ) throws -> (KVSlab, AttentionBatch, [Int32], FloatMatrix, [Int]) {
    let slab = try KVSlab(type: type, layers: 2, kvHeads: kvHeads, headDimensions: dimensions)
    try slab.reserve(pages + 3)
    let batch = AttentionBatch(slab: slab)
    var random = SeededRandom(5)
    // Not in order, as after forks.
    let table = (0..<pages).map { Int32(pages + 2 - $0) }
    try #require(Set(table).count == pages)
    let keys = try FloatMatrix(rows: 1, columns: kvHeads * dimensions)
    let values = try FloatMatrix(rows: 1, columns: kvHeads * dimensions)
    let queries = try FloatMatrix(rows: 16, columns: kvHeads * group * dimensions)
    let targets = (0..<16).map { 32 + $0 * (pages - 2) * 32 / 16 + $0 % 5 }
    for position in 0..<pages * 32 {
      let key = random.floats(kvHeads * dimensions)
      keys.setRow(0, key)
      values.setRow(0, random.floats(kvHeads * dimensions))
      if let row = targets.firstIndex(of: position) {
        // Far out in its direction, so that its page's box reaches there too.
        keys.setRow(0, key.map { 3 * $0 })
        let query = (0..<kvHeads).flatMap { head in
          (0..<group).flatMap { _ in
            key[head * dimensions..<(head + 1) * dimensions].map { 1.2 * $0 }
          }
        }
        queries.setRow(row, query)
      }
      batch.begin(tables: [table], rows: [AttentionRow(sequence: 0, position: position)])
      batch.select(layer: 1)
      batch.write(keys: keys, values: values, rows: 0..<1)
    }
    return (slab, batch, table, queries, targets)
  }

  @Test(
    "pages are the same bytes turned or not, and as bytes make the same pages",
    arguments: KVType.allCases)
  func pagesAsBytes(type: KVType) throws {
    let (slab, _, table, _, _) = try sequence(pages: 4, type: type)
    let (source, target) = (Int(table[1]), Int(table[2]))
    let written = try slab.bytes(of: source)
    for layer in 0..<2 {
      for head in 0..<kvHeads { slab.turnKeys(page: source, layer: layer, kvHead: head) }
    }
    slab.markTurned([source])
    #expect(try slab.bytes(of: source) == written)
    #expect(slab.isTurned(source))
    for layer in 0..<2 {
      for head in 0..<kvHeads { slab.turnKeys(page: target, layer: layer, kvHead: head) }
    }
    slab.markTurned([target])
    #expect(try slab.bytes(of: target) != written)
    try slab.fill(page: target, with: written)
    #expect(!slab.isTurned(target))
    #expect(try slab.bytes(of: target) == written)
    #expect(throws: KernelError.self) { try slab.fill(page: target, with: [1, 2]) }
  }

  private func index(
    _ slab: KVSlab, _ table: [Int32], _ queries: FloatMatrix
  ) throws -> (RetrievalSlab, [RetrievalCodebook]) {
    let shape = try RetrievalShape(headDimensions: dimensions, nibbles: 16)
    let index = try RetrievalSlab(
      shape: shape, layers: 2, kvHeads: kvHeads, parts: [.codes, .bounds])
    try index.reserve(slab.pages)
    let codebooks = try (0..<kvHeads).map {
      try RetrievalCodebook(
        fitting: shape, to: slab, layer: 1, kvHead: $0, pages: table, queries: queries)
    }
    for page in table {
      for head in 0..<kvHeads {
        index.encode(
          page: Int(page), layer: 1, kvHead: head, of: slab, codebook: codebooks[head])
      }
      turn(slab, page)
    }
    return (index, codebooks)
  }

  private func turn(_ slab: KVSlab, _ page: Int32) {
    for layer in 0..<slab.layers {
      for head in 0..<slab.kvHeads { slab.turnKeys(page: Int(page), layer: layer, kvHead: head) }
    }
    slab.markTurned([Int(page)])
  }

  /// What a query looks for is found, alone and together, by codes and by bounds; together is the
  /// union of alone.
  @Test func searchesFindWhatQueriesLookFor() throws {
    let pages = 40
    let (slab, _, table, queries, targets) = try sequence(pages: pages)
    let (index, codebooks) = try index(slab, table, queries)
    let search = RetrievalSearch(slab: index)
    let places = index.table(table, of: slab)
    for head in 0..<kvHeads {
      var union: Set<UInt32> = []
      for row in 0..<16 {
        let found = try search.search(
          queries, rows: row..<row + 1, table: places, layer: 1, kvHead: head,
          codebook: codebooks[head], pages: 1..<pages, wanted: 4, candidates: 64)
        #expect(found.contains(UInt32(targets[row])), "row \(row), head \(head)")
        #expect(found == found.sorted() && found.count <= 4 * group)
        union.formUnion(found)
        let whole = try search.search(
          queries, rows: row..<row + 1, table: places, layer: 1, kvHead: head,
          codebook: codebooks[head], pages: 1..<pages, method: .bounds, wanted: 8 * 32)
        #expect(whole.contains(UInt32(targets[row])), "row \(row), head \(head) by bounds")
        #expect(whole.count % 32 == 0)
      }
      let together = try search.search(
        queries, rows: 0..<16, table: places, layer: 1, kvHead: head, codebook: codebooks[head],
        pages: 1..<pages, wanted: 4, candidates: 64)
      #expect(Set(together) == union)
      // Branches: tables that part at some page, searched at once and one by one.
      let rows = (0..<16).map { row in
        let kept = [pages, 20, 7, 1][row % 4]
        let own = Array(table[..<kept]) + table[kept...].reversed()
        return RetrievalSearch.Row(
          queries: row..<row + 1, table: index.table(own, of: slab), pages: 1..<pages - row % 3,
          wanted: 4 + row, candidates: 64)
      }
      let found = try search.search(
        queries, rows, layer: 1, kvHead: head, codebook: codebooks[head])
      for (row, found) in zip(rows, found) {
        let alone = try search.search(
          queries, [row], layer: 1, kvHead: head, codebook: codebooks[head])
        #expect(found == alone[0] && !found.isEmpty, "row \(row.queries), head \(head)")
      }
    }
  }

  /// Attention over all positions by path has the bits of plain attention, and over what matters
  /// nearly its result.
  @Test(arguments: KVType.allCases) func pathsAttend(type: KVType) throws {
    let pages = 12
    let (slab, batch, table, queries, targets) = try sequence(pages: pages, type: type)
    let end = pages * 32
    batch.begin(
      tables: [table], rows: (0..<16).map { _ in AttentionRow(sequence: 0, position: end - 1) },
      queryHeads: kvHeads * group)
    batch.select(layer: 1)
    let exact = try FloatMatrix(rows: 16, columns: queries.columns)
    let sparse = try FloatMatrix(rows: 16, columns: queries.columns)
    let gathered = try FloatMatrix(rows: 16, columns: queries.columns)
    // The same pages twice: as written, and turned.
    let copies = try FloatMatrix(rows: 16, columns: queries.columns)
    try slab.reserve(3 * pages + 6)
    let copy = (0..<pages).map { Int32(2 * pages + 4 + $0) }
    for (from, to) in zip(table, copy) {
      slab.copy(from: Int(from), to: Int(to), positions: KVSlab.pageTokens)
    }
    batch.attend(queries: queries, scale: 1, into: exact, rows: 0..<16, kvHeads: 0..<kvHeads)
    let all = Kernels.retrievalPath(
      found: (0..<UInt32(end)).map { $0 }, sinks: 4, recent: 100, end: end)
    #expect(all == (0..<UInt32(end)).map { $0 })
    for head in 0..<kvHeads {
      batch.attend(
        rows: 0..<16, kvHead: head, path: all, queries: queries, scale: 1, into: sparse)
    }
    for row in 0..<16 { #expect(sparse.row(row) == exact.row(row)) }
    let (index, codebooks) = try index(slab, table, queries)
    let search = RetrievalSearch(slab: index)
    let places = index.table(table, of: slab)
    let rows = (0..<16).map { _ in AttentionRow(sequence: 0, position: end - 1) }
    batch.begin(tables: [table], rows: rows, queryHeads: kvHeads * group)
    batch.select(layer: 1)
    let written = AttentionBatch(slab: slab)
    written.begin(tables: [copy], rows: rows, queryHeads: kvHeads * group)
    written.select(layer: 1)
    batch.attend(queries: queries, scale: 1, into: copies, rows: 0..<16, kvHeads: 0..<kvHeads)
    for row in 0..<16 { #expect(copies.row(row) == exact.row(row), "all of the turned pages") }
    for head in 0..<kvHeads {
      for row in 0..<16 {
        let found = try search.search(
          queries, rows: row..<row + 1, table: places, layer: 1, kvHead: head,
          codebook: codebooks[head], pages: 1..<pages - 1, wanted: 32, candidates: 96)
        let path = Kernels.retrievalPath(found: found, sinks: 4, recent: end - 40, end: end)
        #expect(path.contains(UInt32(targets[row])) && Set(path).count == path.count)
        batch.attend(
          rows: row..<row + 1, kvHead: head, path: path, queries: queries, scale: 1, into: sparse)
        // From pages as written: the same bits.
        written.attend(
          rows: row..<row + 1, kvHead: head, path: path, queries: queries, scale: 1,
          into: gathered)
        let columns = head * group * dimensions..<(head + 1) * group * dimensions
        #expect(gathered.row(row)[columns] == sparse.row(row)[columns], "row \(row)")
      }
    }
    for row in 0..<16 {
      let (near, far) = (sparse.row(row), exact.row(row))
      let error = zip(near, far).reduce(0.0) { $0 + pow(Double($1.0 - $1.1), 2) }
      let size = far.reduce(0.0) { $0 + Double($1 * $1) }
      #expect(error < 0.02 * 0.02 * size, "row \(row): \((error / size).squareRoot())")
    }
  }

  /// Turning and back leaves every byte as attention sees it; copies and moves of turned pages are of
  /// what was written.
  @Test(arguments: KVType.allCases) func turnedPagesAreCopiedAsWritten(type: KVType) throws {
    let (slab, batch, table, queries, _) = try sequence(pages: 4, type: type)
    func attend(_ table: [Int32], _ end: Int) throws -> [[Float]] {
      let output = try FloatMatrix(rows: 16, columns: queries.columns)
      batch.begin(
        tables: [table], rows: (0..<16).map { _ in AttentionRow(sequence: 0, position: end - 1) },
        queryHeads: kvHeads * group)
      batch.select(layer: 1)
      batch.attend(queries: queries, scale: 1, into: output, rows: 0..<16, kvHeads: 0..<kvHeads)
      return (0..<16).map { Array(output.row($0)) }
    }
    let (all, some) = (try attend(table, 128), try attend(table, 115))
    for page in table { turn(slab, page) }
    #expect(try attend(table, 128) == all && slab.isTurned(Int(table[1])))
    // Page 0 is nobody's: a fork's copy of a part of the last page, which was turned before.
    turn(slab, 0)
    slab.copy(from: Int(table[3]), to: 0, positions: 19)
    #expect(!slab.isTurned(0))
    #expect(try attend(Array(table[..<3]) + [0], 115) == some)
    slab.move(from: (Int(table[3]), 5), to: (0, 30))
    slab.move(from: (0, 30), to: (Int(table[3]), 5))
    #expect(!slab.isTurned(Int(table[3])))
    for page in table { slab.turnBack(page: Int(page)) }
    #expect(try attend(table, 128) == all)
  }

  @Test func limitsAndMissingPartsAreErrors() throws {
    let shape = try RetrievalShape(headDimensions: dimensions)
    let small = try RetrievalSlab(shape: shape, layers: 1, kvHeads: 1, byteLimit: 1 << 16)
    let refused = #expect(throws: KernelError.self) { try small.reserve(1 << 20) }
    #expect(refused?.code == .memory)
    let (slab, _, table, queries, _) = try sequence(pages: 2)
    let codes = try RetrievalSlab(shape: shape, layers: 2, kvHeads: kvHeads, parts: [.codes])
    try codes.reserve(slab.pages)
    let codebook = try RetrievalCodebook(
      fitting: shape, to: slab, layer: 1, kvHead: 0, pages: table, queries: nil)
    let search = RetrievalSearch(slab: codes)
    let places = codes.table(table, of: slab)
    #expect(throws: KernelError.self) {
      try search.search(
        queries, rows: 0..<1, table: places, layer: 1, kvHead: 0, codebook: codebook,
        pages: 0..<2, method: .bounds, wanted: 32)
    }
    queries[0, 0] = .nan
    #expect(throws: KernelError.self) {
      try RetrievalCodebook(
        fitting: shape, to: slab, layer: 1, kvHead: 0, pages: table, queries: queries)
    }
  }
}
