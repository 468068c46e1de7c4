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

  private func index(
    _ slab: KVSlab, _ table: [Int32], _ queries: FloatMatrix
  ) throws -> (RetrievalSlab, [RetrievalCodebook]) {
    let shape = try RetrievalShape(headDimensions: dimensions, nibbles: 16)
    let index = try RetrievalSlab(
      shape: shape, layers: 2, kvHeads: kvHeads, parts: [.codes, .rows, .bounds, .keys],
      type: slab.type)
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
    }
    return (index, codebooks)
  }

  /// What a query looks for is found, alone and together, by codes and by bounds; together is the
  /// union of alone.
  @Test func searchesFindWhatQueriesLookFor() throws {
    let pages = 40
    let (slab, _, table, queries, targets) = try sequence(pages: pages)
    let (index, codebooks) = try index(slab, table, queries)
    let search = RetrievalSearch(slab: index)
    search.begin(table: table)
    for head in 0..<kvHeads {
      var union: Set<UInt32> = []
      for row in 0..<16 {
        let found = try search.search(
          queries, rows: row..<row + 1, layer: 1, kvHead: head, codebook: codebooks[head],
          pages: 1..<pages, method: .scan(candidates: 64), wanted: 4)
        #expect(found.contains(UInt32(targets[row])), "row \(row), head \(head)")
        #expect(found == found.sorted() && found.count <= 4 * group)
        union.formUnion(found)
        let whole = try search.search(
          queries, rows: row..<row + 1, layer: 1, kvHead: head, codebook: codebooks[head],
          pages: 1..<pages, method: .bounds, wanted: 8 * 32)
        #expect(whole.contains(UInt32(targets[row])), "row \(row), head \(head) by bounds")
        #expect(whole.count % 32 == 0)
      }
      let together = try search.search(
        queries, rows: 0..<16, layer: 1, kvHead: head, codebook: codebooks[head],
        pages: 1..<pages, method: .scan(candidates: 64), wanted: 4)
      #expect(Set(together) == union)
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
    search.begin(table: table)
    for head in 0..<kvHeads {
      for row in 0..<16 {
        let found = try search.search(
          queries, rows: row..<row + 1, layer: 1, kvHead: head, codebook: codebooks[head],
          pages: 1..<pages - 1, method: .scan(candidates: 96), wanted: 32)
        let path = Kernels.retrievalPath(found: found, sinks: 4, recent: end - 40, end: end)
        #expect(path.contains(UInt32(targets[row])) && Set(path).count == path.count)
        batch.attend(
          rows: row..<row + 1, kvHead: head, path: path, queries: queries, scale: 1, into: sparse)
        // From the index's keys of all, some and no pages: the same bits.
        for known in [pages, pages / 2, 0] {
          batch.attend(
            rows: row..<row + 1, kvHead: head, path: path, keys: (index.table(table), known),
            queries: queries, scale: 1, into: gathered)
          let width = group * dimensions
          let columns = head * width..<(head + 1) * width
          #expect(gathered.row(row)[columns] == sparse.row(row)[columns], "\(known) pages of keys")
        }
      }
    }
    for row in 0..<16 {
      let (near, far) = (sparse.row(row), exact.row(row))
      let error = zip(near, far).reduce(0.0) { $0 + pow(Double($1.0 - $1.1), 2) }
      let size = far.reduce(0.0) { $0 + Double($1 * $1) }
      #expect(error < 0.02 * 0.02 * size, "row \(row): \((error / size).squareRoot())")
    }
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
    search.begin(table: table)
    #expect(throws: KernelError.self) {
      try search.search(
        queries, rows: 0..<1, layer: 1, kvHead: 0, codebook: codebook, pages: 0..<2,
        method: .bounds, wanted: 32)
    }
    queries[0, 0] = .nan
    #expect(throws: KernelError.self) {
      try RetrievalCodebook(
        fitting: shape, to: slab, layer: 1, kvHead: 0, pages: table, queries: queries)
    }
  }
}
