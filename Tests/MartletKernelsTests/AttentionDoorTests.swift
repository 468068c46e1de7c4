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
    let tolerance = type == .f32 ? 1e-5 : type == .f16 ? 2e-3 : 2e-2
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
