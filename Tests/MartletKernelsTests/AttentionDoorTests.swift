import Foundation
import MartletKernels
import Testing

/// The door over pages, attention, rotation, norms and softmax.
struct AttentionDoorTests {
  @Test func impossibleCachesAreErrors() {
    for (layers, heads, dimensions) in [(0, 1, 64), (1, 0, 64), (1, 1, 0), (1, 1, 257), (-1, 1, 1)]
    {
      #expect(throws: KernelError.self) {
        try KVSlab(type: .f16, layers: layers, kvHeads: heads, headDimensions: dimensions)
      }
    }
  }

  /// Attention over scattered pages of two sequences agrees with float64, and growing the slab or
  /// copying pages changes nothing.
  @Test(arguments: KVType.allCases) func attentionAgreesWithFloat64(type: KVType) throws {
    let (heads, kvHeads, dimensions) = (4, 2, 16)
    let tolerance: Double =
      switch type {
      case .f32: 1e-5
      case .f16: 2e-3
      case .bf16, .int8: 2e-2
      case .int4: 0.15
      }
    let slab = try KVSlab(type: type, layers: 2, kvHeads: kvHeads, headDimensions: dimensions)
    try slab.reserve(8)
    let batch = AttentionBatch(slab: slab)
    var random = SeededRandom(11)
    let tables: [[Int32]] = [[5, 2, 7], [1]]
    let lengths = [70, 9]
    var keys: [[[Float]]] = [[], []]
    var values: [[[Float]]] = [[], []]
    let one = try FloatMatrix(rows: 1, columns: kvHeads * dimensions)
    let other = try FloatMatrix(rows: 1, columns: kvHeads * dimensions)
    for sequence in 0..<2 {
      for position in 0..<lengths[sequence] {
        keys[sequence].append(random.floats(kvHeads * dimensions))
        values[sequence].append(random.floats(kvHeads * dimensions))
        one.setRow(0, keys[sequence][position])
        other.setRow(0, values[sequence][position])
        batch.begin(
          tables: tables, rows: [AttentionRow(sequence: sequence, position: position)])
        batch.select(layer: 1)
        batch.write(keys: one, values: other, rows: 0..<1)
      }
    }

    let rows = [
      AttentionRow(sequence: 0, position: 69), AttentionRow(sequence: 1, position: 8),
      AttentionRow(sequence: 0, first: 40, position: 45), AttentionRow(sequence: 0, position: 0),
    ]
    let queries = try FloatMatrix(rows: rows.count, columns: heads * dimensions)
    for row in rows.indices { queries.setRow(row, random.floats(heads * dimensions)) }
    let output = try FloatMatrix(rows: rows.count, columns: heads * dimensions)
    func attend(_ tables: [[Int32]]) {
      batch.begin(tables: tables, rows: rows)
      batch.select(layer: 1)
      for head in 0..<kvHeads {
        batch.attend(
          queries: queries, scale: 0.25, into: output, rows: 0..<rows.count,
          kvHeads: head..<head + 1)
      }
    }
    attend(tables)
    for (index, row) in rows.enumerated() {
      for head in 0..<heads {
        let offset = head / (heads / kvHeads) * dimensions
        let positions = Array(row.first...row.position)
        let scores = positions.map { position in
          0.25
            * (0..<dimensions).reduce(0.0) {
              $0 + Double(queries[index, head * dimensions + $1])
                * Double(keys[row.sequence][position][offset + $1])
            }
        }
        let maximum = scores.max() ?? 0
        let weights = scores.map { exp($0 - maximum) }
        let sum = weights.reduce(0, +)
        for dimension in 0..<dimensions {
          let exact = zip(positions, weights).reduce(0.0) {
            $0 + $1.1 * Double(values[row.sequence][$1.0][offset + dimension])
          }
          let got = Double(output[index, head * dimensions + dimension])
          #expect(abs(got - exact / sum) < tolerance, "row \(index), head \(head)")
        }
      }
    }

    let before = rows.indices.map { output.row($0) }
    try slab.reserve(slab.pages + 1)
    slab.copy(from: 5, to: 0, positions: 32)
    slab.copy(from: 7, to: 3, positions: 6)
    attend([[0, 2, 3], [1]])
    #expect(rows.indices.map { output.row($0) } == before)
  }

  /// A slab with `positions` random positions in pages `table`, as attention meets them.
  /// What weights and values give together is what attention gives.
  @Test(arguments: KVType.allCases) func weightsAreThoseOfAttention(type: KVType) throws {
    let (kvHeads, group, dimensions) = (2, 3, 40)
    let slab = try KVSlab(type: type, layers: 1, kvHeads: kvHeads, headDimensions: dimensions)
    try slab.reserve(4)
    var random = SeededRandom(29)
    for page in 0..<4 {
      for slot in 0..<KVSlab.pageTokens {
        slab.write(
          page: page, slot: slot, layer: 0, keys: random.floats(kvHeads * dimensions),
          values: random.floats(kvHeads * dimensions))
      }
    }
    for head in 0..<kvHeads { slab.turnKeys(page: 2, layer: 0, kvHead: head) }
    slab.markTurned([2])
    let table: [Int32] = [3, 0, 2, 1]
    let queries = try FloatMatrix(rows: 1, columns: kvHeads * group * dimensions)
    queries.setRow(0, random.floats(queries.columns).map { 3 * $0 })
    let output = try FloatMatrix(rows: 1, columns: queries.columns)
    let batch = AttentionBatch(slab: slab)
    batch.begin(
      tables: [table], rows: [AttentionRow(sequence: 0, position: 107)],
      queryHeads: kvHeads * group)
    batch.select(layer: 0)
    var (weights, sums): ([Float], [Float]) = ([], [])
    let lists: [[UInt32]?] = [nil, (0..<60).map { ($0 * 37 + 5) % 128 }, [77]]
    for list in lists {
      let seen = list ?? (0..<108).map { UInt32($0) }
      for head in 0..<kvHeads {
        batch.attend(
          rows: 0..<1, kvHead: head, path: seen, queries: queries, scale: 0.3, into: output)
        let count = batch.weights(
          of: 0, kvHead: head, path: list, queries: queries, scale: 0.3, into: &weights)
        #expect(count == seen.count)
        sums = [Float](repeating: 1, count: count)
        batch.addWeights(
          of: 0, kvHead: head, path: list, queries: queries, scale: 0.3, scratch: &weights,
          into: &sums)
        for place in 0..<count {
          let sum = (0..<group).reduce(1) { $0 + weights[$1 * count + place] }
          #expect(abs(sums[place] - sum) < 1e-6)
        }
        for member in 0..<group {
          var expected = [Float](repeating: 0, count: dimensions)
          var (key, value) = (expected, expected)
          for (place, position) in seen.enumerated() {
            slab.read(
              page: Int(table[Int(position) / KVSlab.pageTokens]),
              slot: Int(position) % KVSlab.pageTokens, layer: 0, kvHead: head, key: &key,
              value: &value)
            for d in 0..<dimensions { expected[d] += weights[member * count + place] * value[d] }
          }
          for d in 0..<dimensions {
            let column = (head * group + member) * dimensions + d
            #expect(abs(output[0, column] - expected[d]) < 1e-4)
          }
        }
      }
    }
  }

  private func filled(
    _ type: KVType, table: [Int32], positions: Int, kvHeads: Int, dimensions: Int, seed: UInt64
  ) throws -> AttentionBatch {
    let slab = try KVSlab(type: type, layers: 1, kvHeads: kvHeads, headDimensions: dimensions)
    try slab.reserve(Int(table.max() ?? 0) + 1)
    let batch = AttentionBatch(slab: slab)
    let keys = try FloatMatrix(rows: positions, columns: kvHeads * dimensions)
    let values = try FloatMatrix(rows: positions, columns: kvHeads * dimensions)
    var random = SeededRandom(seed)
    for position in 0..<positions {
      keys.setRow(position, random.floats(kvHeads * dimensions))
      values.setRow(position, random.floats(kvHeads * dimensions))
    }
    batch.begin(
      tables: [table], rows: (0..<positions).map { AttentionRow(sequence: 0, position: $0) })
    batch.select(layer: 0)
    batch.write(keys: keys, values: values, rows: 0..<positions)
    return batch
  }

  /// Everything the plan may do (sort rows, cut blocks, split long ones) leaves every bit alone.
  @Test(arguments: KVType.allCases) func plansChangeNoBit(type: KVType) throws {
    let (kvHeads, group, dimensions, positions) = (2, 3, 16, 1_700)
    let pages = Int32(positions / 32 + 1)
    let batch = try filled(
      type, table: Array(0..<pages), positions: positions, kvHeads: kvHeads,
      dimensions: dimensions, seed: 5)
    // Forks of one prefix at several places, given out of order; a fork's other pages are any.
    let tables = [30, 0, 50, 12, 30].map { (shared: Int32) in
      Array(0..<shared) + (shared..<pages).map { ($0 * 7 + shared) % pages }
    }
    var random = SeededRandom(6)
    let rows = (0..<70).map { _ in
      let position = Int(random.next() % UInt64(positions))
      return AttentionRow(
        sequence: Int(random.next() % UInt64(tables.count)),
        first: Int(random.next() % 2) * Int(random.next() % UInt64(position + 1)),
        position: position)
    }
    let queries = try FloatMatrix(rows: rows.count, columns: kvHeads * group * dimensions)
    for row in rows.indices { queries.setRow(row, random.floats(queries.columns)) }
    let expected = try FloatMatrix(rows: rows.count, columns: queries.columns)
    batch.begin(tables: tables, rows: rows)
    batch.select(layer: 0)
    for row in rows.indices {
      batch.attend(
        queries: queries, scale: 0.3, into: expected, rows: row..<row + 1, kvHeads: 0..<kvHeads)
    }
    for threads in [1, 2, 5, 64] {
      let output = try FloatMatrix(rows: rows.count, columns: queries.columns)
      batch.begin(tables: tables, rows: rows, queryHeads: kvHeads * group, threads: threads)
      batch.select(layer: 0)
      if threads == 1 { #expect(batch.merges == 0) }
      if threads == 64 { #expect(batch.merges > 0 && batch.units > 8) }
      for unit in (0..<batch.units).reversed() {
        batch.attend(unit: unit, queries: queries, scale: 0.3, into: output)
      }
      for merge in 0..<batch.merges { batch.merge(merge, queries: queries, into: output) }
      #expect(rows.indices.allSatisfy { output.row($0) == expected.row($0) }, "\(threads) threads")
    }
  }

  /// Verifying a drafted tree gives each node what plain decoding of its path gives, and moving the
  /// accepted path leaves the cache as plain decoding would have.
  @Test(arguments: KVType.allCases) func treesEqualPlainDecoding(type: KVType) throws {
    let (kvHeads, dimensions, prefix) = (2, 16, 61)
    let tree = try filled(
      type, table: [0, 1, 2], positions: 70, kvHeads: kvHeads, dimensions: dimensions, seed: 9)
    let queries = try FloatMatrix(rows: 3, columns: kvHeads * dimensions)
    var random = SeededRandom(10)
    for row in 0..<3 { queries.setRow(row, random.floats(queries.columns)) }
    func attend(_ rows: [AttentionRow]) throws -> [[Float]] {
      let output = try FloatMatrix(rows: rows.count, columns: queries.columns)
      tree.begin(tables: [[0, 1, 2]], rows: rows)
      tree.select(layer: 0)
      for unit in 0..<tree.units {
        tree.attend(unit: unit, queries: queries, scale: 0.3, into: output)
      }
      return rows.indices.map { output.row($0) }
    }
    // Nodes in slots 61 ..< 70; the path 62, 65, 69 is accepted.
    let path = [62, 65, 69]
    let drafted = try attend(
      (0..<3).map {
        AttentionRow(sequence: 0, position: prefix + $0, path: Array(path[0...$0]))
      })
    for (step, slot) in path.enumerated() {
      tree.slab.move(
        from: (slot / 32, slot % 32), to: ((prefix + step) / 32, (prefix + step) % 32))
    }
    let plain = try attend((0..<3).map { AttentionRow(sequence: 0, position: prefix + $0) })
    #expect(drafted == plain)
    // A sibling's slot in the path is another result, so the path is what was seen.
    let other = try attend(
      [AttentionRow(sequence: 0, position: prefix, path: [66])])
    #expect(other[0] != plain[0])
  }

  @Test func badRopeConfigurationsAreErrors() {
    var odd = RopeConfiguration(layout: .halves, rotaryDimensions: 7)
    #expect(throws: KernelError.self) { try RopeTable(odd, positions: 1) }
    odd.rotaryDimensions = 0
    #expect(throws: KernelError.self) { try RopeTable(odd, positions: 1) }
    odd.rotaryDimensions = 8
    odd.frequencyFactors = [1, 1]
    #expect(throws: KernelError.self) { try RopeTable(odd, positions: 1) }
  }

  @Test(arguments: [RopeConfiguration.Layout.adjacent, .halves])
  func rotationKeepsLengthsAndPositionZero(layout: RopeConfiguration.Layout) throws {
    let table = try RopeTable(
      RopeConfiguration(layout: layout, rotaryDimensions: 8), positions: 2)
    #expect(table.missing([1, 0, 1]) == [0, 1])
    table.prepare([0, 1])
    #expect(table.missing([1, 0]) == [])
    var random = SeededRandom(3)
    let row = random.floats(24)
    let values = try FloatMatrix(rows: 2, columns: 24)
    values.setRow(0, row)
    values.setRow(1, row)
    table.rotate(values, headDimensions: 12, positions: [0, 1], rows: 0..<2)
    #expect(values.row(0) == row)
    for head in 0..<2 {
      let first = head * 12
      let second = first + (layout == .adjacent ? 1 : 4)
      let expected = row[first] * cos(Float(1)) - row[second] * sin(Float(1))
      #expect(abs(values[1, first] - expected) < 1e-6)
      #expect(values.row(1)[first + 8..<first + 12] == row[first + 8..<first + 12])
    }
  }

  @Test func normsAndSoftmaxAreWhatTheirNamesSay() throws {
    let input = try FloatMatrix(rows: 1, columns: 4)
    input.setRow(0, [1, -2, 3, -4])
    let output = try FloatMatrix(rows: 1, columns: 4)
    Kernels.rmsNorm(input, weight: [1, 1, 1, 2], epsilon: 0, into: output, rows: 0..<1)
    #expect(abs(output[0, 3] - -8 / Float(7.5).squareRoot()) < 1e-5)
    Kernels.layerNorm(input, weight: [1, 1, 1, 1], epsilon: 0, into: output, rows: 0..<1)
    #expect(abs(output.row(0).reduce(0, +)) < 1e-5)
    Kernels.softmax(input, into: output, rows: 0..<1)
    #expect(abs(output.row(0).reduce(0, +) - 1) < 1e-6)
    let logs = Kernels.logSoftmax([1, -2, 3, -4])
    for column in 0..<4 { #expect(abs(exp(logs[column]) - output[0, column]) < 1e-6) }
    let gate = try FloatMatrix(rows: 1, columns: 4)
    Kernels.gate(.silu, gate: input, up: input, into: gate, rows: 0..<1)
    #expect(abs(gate[0, 2] - 9 / (1 + exp(-3))) < 1e-4)
  }
}
