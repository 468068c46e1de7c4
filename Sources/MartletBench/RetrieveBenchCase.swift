import Foundation
import MartletKernels
import MartletMachine

/// One set of keys with its index, and queries that look for some of them.
final class RetrieveBenchCase {
  private let cell: RetrieveBench.Cell
  private let keys: Int
  private let dimensions: Int
  private let settings: RetrieveBench.Settings
  private let slab: KVSlab
  private let batch: AttentionBatch
  /// Of the pages as they were written; copies of them, turned, with the index beside them: one to be
  /// warm, all others in turn to be cold.
  private let table: [Int32]
  private let copies: [[Int32]]
  private let index: RetrievalSlab
  private let codebook: RetrievalCodebook
  private let buildNs: Double
  private let insertNs: Double
  /// Scores of the true best and all, query by query.
  private let vectors: [[Float]]
  private let queries: [[Float]]
  private let scale: Float

  /// Made when it is asked for: one of each copy.
  private lazy var graphs = Result { try makeGraphs() }
  private let graphQueries: FloatMatrix?

  private static let truths = 32
  /// Keys that are inserted into a graph and not built.
  private static let inserted = 1_024
  private static let warmUps = 3
  private static let samples = 1024

  init(_ cell: RetrieveBench.Cell, _ settings: RetrieveBench.Settings) throws {
    self.cell = cell
    keys = cell.keys
    dimensions = cell.dimensions
    self.settings = settings
    var source = try cell.source()
    let pages = keys / KVSlab.pageTokens
    slab = try KVSlab(type: .bf16, layers: 1, kvHeads: 1, headDimensions: dimensions)
    try slab.reserve(pages)
    table = (0..<Int32(pages)).map { $0 }
    batch = AttentionBatch(slab: slab)
    vectors = try Self.fill(batch, table, keys, &source)
    let sample = try FloatMatrix(rows: Self.samples, columns: dimensions)
    for row in 0..<Self.samples { sample.setRow(row, source.fitQuery()) }
    queries = (0..<Self.truths).map { _ in source.query() }
    graphQueries = settings.indexes.contains(.graph) ? try Self.graphQueries(&source, keys) : nil
    scale = source.scale ?? RetrieveBench.logitDeviation / Self.deviation(queries, vectors)

    let shape = try RetrievalShape(headDimensions: dimensions, nibbles: settings.nibbles)
    let began = monotonicNanoseconds()
    codebook = try RetrievalCodebook(
      fitting: shape, to: slab, layer: 0, kvHead: 0, pages: table, queries: sample)
    buildNs = Double(monotonicNanoseconds() - began)
    let parts: Set<RetrievalPart> = [.codes, .bounds]
    let bytes = parts.reduce(slab.bytesPerPage) { $0 + shape.bytes(of: $1) } * pages
    let count = RetrieveBench.coldBytes / bytes + 2
    index = try RetrievalSlab(shape: shape, layers: 1, kvHeads: 1, parts: parts)
    try slab.reserve((count + 1) * pages)
    try index.reserve((count + 1) * pages)
    copies = (1...count).map { copy in (0..<pages).map { Int32(copy * pages + $0) } }
    var insert = Double.infinity
    for copy in copies {
      for (page, original) in zip(copy, table) {
        slab.copy(from: Int(original), to: Int(page), positions: KVSlab.pageTokens)
      }
      let began = monotonicNanoseconds()
      for page in copy {
        index.encode(page: Int(page), layer: 0, kvHead: 0, of: slab, codebook: codebook)
        slab.turnKeys(page: Int(page), layer: 0, kvHead: 0)
      }
      insert = min(insert, Double(monotonicNanoseconds() - began) / Double(keys))
      slab.markTurned(copy.lazy.map { Int($0) })
    }
    insertNs = insert
  }

  /// An eighth as many as keys, 1,024 to 32,768, or as many as there are.
  private static func graphQueries(
    _ source: inout any AttentionSource, _ keys: Int
  ) throws -> FloatMatrix {
    let count = min(max(keys / 8, 1_024), 32_768, source.fitQueries ?? .max)
    let matrix = try FloatMatrix(rows: count, columns: source.dimensions)
    for row in 0..<count { matrix.setRow(row, source.fitQuery()) }
    return matrix
  }

  private struct Graphs {
    var copies: [RetrievalGraph]
    var buildNs: Double
    var insertNs: Double
  }

  private func makeGraphs() throws -> Graphs {
    let graph = try RetrievalGraph(codebook: codebook, capacity: keys)
    let table = index.table(copies[0], of: slab)
    let built = max(32, keys - Self.inserted)
    let began = monotonicNanoseconds()
    try graph.build(
      table, pages: built / KVSlab.pageTokens, layer: 0, kvHead: 0, queries: graphQueries)
    let done = monotonicNanoseconds()
    try graph.insert(table, upTo: keys, layer: 0, kvHead: 0)
    let insert = Double(monotonicNanoseconds() - done) / Double(max(1, keys - built))
    // As many as no cache holds, beside the one that is warm.
    let count = min(copies.count, RetrieveBench.coldBytes / graph.bytes + 2)
    return Graphs(
      copies: try [graph] + (1..<count).map { _ in try graph.copy() },
      buildNs: Double(done - began), insertNs: insert)
  }

  /// Writes keys and values; returns the keys.
  private static func fill(
    _ batch: AttentionBatch, _ table: [Int32], _ keys: Int, _ source: inout any AttentionSource
  ) throws -> [[Float]] {
    let step = 1_024
    let (keyRows, valueRows) = (
      try FloatMatrix(rows: step, columns: source.dimensions),
      try FloatMatrix(rows: step, columns: source.dimensions)
    )
    var vectors: [[Float]] = []
    for begin in stride(from: 0, to: keys, by: step) {
      let count = min(step, keys - begin)
      for row in 0..<count {
        vectors.append(source.key())
        keyRows.setRow(row, vectors[begin + row])
        valueRows.setRow(row, source.value())
      }
      batch.begin(
        tables: [table],
        rows: (begin..<begin + count).map { AttentionRow(sequence: 0, position: $0) })
      batch.select(layer: 0)
      batch.write(keys: keyRows, values: valueRows, rows: 0..<count)
    }
    return vectors
  }

  private static func dot(_ a: [Float], _ b: [Float]) -> Float {
    a.withUnsafeBufferPointer { a in
      b.withUnsafeBufferPointer { b in
        var sum = SIMD16<Float>()
        var i = 0
        while i + 16 <= a.count {
          var (x, y) = (SIMD16<Float>(), SIMD16<Float>())
          for lane in 0..<16 {
            x[lane] = a[i + lane]
            y[lane] = b[i + lane]
          }
          sum += x * y
          i += 16
        }
        var rest = sum.sum()
        while i < a.count {
          rest += a[i] * b[i]
          i += 1
        }
        return rest
      }
    }
  }

  /// Of the scores of some keys.
  private static func deviation(_ queries: [[Float]], _ keys: [[Float]]) -> Float {
    let deviations = queries.map { query -> Float in
      let scores = stride(from: 0, to: keys.count, by: 16).map { dot(query, keys[$0]) }
      let mean = scores.reduce(0, +) / Float(scores.count)
      let squares = scores.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      return (squares / Float(scores.count)).squareRoot()
    }
    return deviations.reduce(0, +) / Float(deviations.count)
  }

  // MARK: Rows

  /// What exact attention makes of a query.
  private struct Truth {
    var best: Set<UInt32>
    /// Weights that add up to 1.
    var weights: [Double]
  }

  private lazy var truths: [Truth] = queries.map { query in
    let scores = vectors.map { Double(scale * Self.dot(query, $0)) }
    let largest = scores.max() ?? 0
    let weights = scores.map { exp($0 - largest) }
    let sum = weights.reduce(0, +)
    let order = scores.indices.sorted { (scores[$1], $0) < (scores[$0], $1) }
    return Truth(best: Set(order.prefix(100).map { UInt32($0) }), weights: weights.map { $0 / sum })
  }

  private struct Measured {
    var samples = Samples()
    var cold = Samples()
    var attention = Samples()
    var recall = 0.0
    var mass = 0.0
    var error = 0.0
    var touched = 0.0
    var followed = 0.0
    var queries = 0
  }

  func row(
    _ index: RetrieveBench.Index, queries group: Int, _ limits: MachineLimits
  ) throws -> RetrieveBench.Row {
    let graphs = index == .graph ? try self.graphs.get() : nil
    let measured = try measure(index, group)
    let shape = codebook.shape
    let page = Double(KVSlab.pageTokens)
    let scanned =
      switch index {
      case .scan: Double(shape.bytes(of: .codes)) / page
      case .graph:
        // Of the links that were followed and the hubs; a block is 32 codes and 32 positions.
        (measured.followed / Double(settings.repetitions) + Double(keys) / 512)
          * (Double(shape.bytes(of: .codes)) + 128) / Double(keys)
      case .pages: Double(shape.bytes(of: .bounds)) / page
      case .exact: Double(4 * dimensions)
      }
    let operation =
      switch index {
      case .scan, .graph: "retrieve_scan"
      case .pages: "retrieve_scan_bounds"
      case .exact: "attention_f32"
      }
    let taken =
      switch index {
      case .scan, .pages: scanned
      case .graph:
        Double(graphs?.copies[0].bytes ?? 0) / Double(keys) + Double(shape.bytes(of: .codes)) / page
      case .exact: 0.0
      }
    let count = Double(max(1, measured.queries))
    return RetrieveBench.Row(
      index: index.rawValue, keys: keys, dim: dimensions,
      distribution: cell.distribution.name, head: cell.head, queries: group,
      buildNs: index == .exact ? 0 : buildNs + (graphs?.buildNs ?? 0),
      insertNs: index == .exact ? 0 : insertNs + (graphs?.insertNs ?? 0),
      queryNs: measured.samples.median, queryMinNs: measured.samples.minimum,
      coldQueryNs: measured.cold.median, coldQueryMinNs: measured.cold.minimum,
      attendNs: measured.attention.median, attendMinNs: measured.attention.minimum,
      recallAt_100: measured.recall / count, attentionMass: measured.mass / count,
      outputError: measured.error / count, bytesPerKey: taken,
      touched: measured.touched / Double(settings.repetitions),
      variant: kernelVariants().first { $0.operation == operation && $0.serving }?.name ?? "",
      samplesNs: measured.samples.nanoseconds,
      fractionOfLimit: scanned * Double(keys) / limits.readGbPerS / measured.samples.median,
      command: "\(settings.command) --keys \(keys) --dim \(dimensions) --index \(index.rawValue) "
        + "--queries \(group) --distribution \(cell.distribution.name)")
  }

  private func measure(_ index: RetrieveBench.Index, _ group: Int) throws -> Measured {
    var measured = Measured()
    let searcher = RetrievalSearch(slab: self.index)
    let walker = RetrievalGraphSearch()
    let graphs = index == .graph ? try self.graphs.get().copies : []
    func search(_ copy: Int, _ tables: [RetrievalSearch.Table]) throws -> [UInt32] {
      guard index == .graph else { return try self.search(searcher, tables[copy], index, rows) }
      return try walker.search(
        rows, rows: 0..<group, graph: graphs[copy == 0 ? 0 : 1 + (copy - 1) % (graphs.count - 1)],
        table: tables[copy], layer: 0, kvHead: 0,
        effort: .init(expanded: settings.expanded, candidates: settings.graphCandidates),
        wanted: settings.wanted)
    }
    let tables = copies.map { self.index.table($0, of: slab) }
    let rows = try FloatMatrix(rows: group, columns: dimensions)
    let (exact, sparse) = (
      try FloatMatrix(rows: group, columns: dimensions),
      try FloatMatrix(rows: group, columns: dimensions)
    )
    // Rows over every copy's pages; those as written come first.
    let batches = ([table] + copies).map { table in
      let batch = AttentionBatch(slab: slab)
      batch.begin(
        tables: [table],
        rows: (0..<group).map { _ in AttentionRow(sequence: 0, position: keys - 1) })
      batch.select(layer: 0)
      return batch
    }
    for sample in 0..<settings.repetitions {
      let own = (0..<group).map { (sample * group + $0) % queries.count }
      for (row, query) in own.enumerated() { rows.setRow(row, queries[query]) }
      let began = monotonicNanoseconds()
      batches[0].attend(
        queries: rows, scale: scale, into: exact, rows: 0..<group, kvHeads: 0..<1)
      let exactNs = Double(monotonicNanoseconds() - began)
      var found: [UInt32] = []
      if index == .exact {
        measured.samples.append(exactNs)
        measured.cold.append(exactNs)
        measured.attention.append(exactNs)
        found = (0..<UInt32(keys)).map { $0 }
      } else {
        // The attention before took the caches; the index comes back over some searches.
        for _ in 0..<Self.warmUps { _ = try search(0, tables) }
        let warm = monotonicNanoseconds()
        found = try search(0, tables)
        measured.samples.append(Double(monotonicNanoseconds() - warm))
        measured.followed += Double(walker.followed)
        let copy = 1 + sample % (copies.count - 1)
        let cold = monotonicNanoseconds()
        _ = try search(copy, tables)
        measured.cold.append(Double(monotonicNanoseconds() - cold))
        let path = Kernels.retrievalPath(found: found, sinks: 0, recent: keys, end: keys)
        let attention = monotonicNanoseconds()
        batches[1 + copy].attend(
          rows: 0..<group, kvHead: 0, path: path, queries: rows, scale: scale, into: sparse)
        measured.attention.append(Double(monotonicNanoseconds() - attention))
      }
      measured.touched += Double(found.count) / Double(keys)
      add(&measured, own, found, index == .exact ? exact : sparse, exact)
    }
    return measured
  }

  private func search(
    _ search: RetrievalSearch, _ table: RetrievalSearch.Table, _ index: RetrieveBench.Index,
    _ rows: FloatMatrix
  ) throws -> [UInt32] {
    let part = settings.candidates * keys / 131_072
    return try search.search(
      rows, rows: 0..<rows.rows, table: table, layer: 0, kvHead: 0, codebook: codebook,
      pages: 0..<keys / KVSlab.pageTokens, method: index == .pages ? .bounds : .scan,
      wanted: index == .pages ? settings.wanted * 4 : settings.wanted,
      candidates: index == .pages ? 0 : max(4 * settings.wanted, part))
  }

  private func add(
    _ measured: inout Measured, _ own: [Int], _ found: [UInt32], _ output: FloatMatrix,
    _ exact: FloatMatrix
  ) {
    for (row, query) in own.enumerated() {
      let truth = truths[query]
      measured.queries += 1
      measured.recall += Double(found.count { truth.best.contains($0) }) / 100
      measured.mass += found.reduce(0.0) { $0 + truth.weights[Int($1)] }
      let (near, far) = (output.row(row), exact.row(row))
      let error = zip(near, far).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
      let size = far.reduce(0.0) { $0 + Double($1 * $1) }
      measured.error += (error / size).squareRoot()
    }
  }
}
