import Foundation
import MartletKernels
import Testing

struct WeightTypeTests {
  @Test func sizesAreGGUFs() {
    let sizes: [WeightType: (elements: Int, bytes: Int)] = [
      .f32: (1, 4), .f16: (1, 2), .bf16: (1, 2), .q4_0: (32, 18), .q4_1: (32, 20),
      .q5_0: (32, 22), .q5_1: (32, 24), .q8_0: (32, 34), .q4_K: (256, 144), .q5_K: (256, 176),
      .q6_K: (256, 210), .iq4_nl: (32, 18),
    ]
    #expect(sizes.count == WeightType.allCases.count)
    for type in WeightType.allCases {
      #expect(type.blockElements == sizes[type]?.elements, "\(type.name)")
      #expect(type.blockBytes == sizes[type]?.bytes, "\(type.name)")
    }
  }

  @Test func byteCountsAreWholeBlocksOrNothing() {
    #expect(WeightType.q4_K.byteCount(elements: 512) == 288)
    #expect(WeightType.q4_K.byteCount(elements: 0) == 0)
    #expect(WeightType.q4_K.byteCount(elements: 100) == nil)
    #expect(WeightType.f32.byteCount(elements: -1) == nil)
    #expect(WeightType.f32.byteCount(elements: Int.max / 2) == nil)
  }
}

struct VariantTests {
  @Test func oneVariantServesEachOperationOfAClass() {
    let variants = kernelVariants()
    #expect(!variants.isEmpty)
    #expect(Set(variants.map(\.name)).count == variants.count)
    for (key, group) in Dictionary(grouping: variants, by: { "\($0.operation) \($0.numericClass)" })
    {
      #expect(group.count { $0.serving } <= 1, "\(key)")
      for variant in group where variant.serving { #expect(variant.available, "\(key)") }
    }
    let served = Set(variants.filter(\.serving).map(\.operation))
    #expect(served.contains { $0.contains("attention") })
    #expect(variants.contains { $0.isa == "reference" && $0.available })
  }

  @Test func activeCapabilitiesAreDetectedOnes() {
    #expect(Set(ISA.active).isSubset(of: ISA.detected))
  }
}

struct MatrixTests {
  @Test func rowsKeepWhatIsWritten() throws {
    let matrix = try FloatMatrix(rows: 3, columns: 5)
    matrix.setRow(1, [1, 2, 3, 4, 5])
    matrix[2, 4] = 9
    #expect(matrix.row(0) == [0, 0, 0, 0, 0])
    #expect(matrix.row(1) == [1, 2, 3, 4, 5])
    #expect(matrix[2, 4] == 9)
    matrix.copyRow(0, from: matrix, row: 1)
    #expect(matrix.withRow(0) { $0[3] } == 4)
    matrix.withMutableRow(0) { $0[3] = 8 }
    #expect(matrix[0, 3] == 8)
  }

  @Test(arguments: [(-1, 4), (4, -1), (Int.max, 16), (2, Int.max), (1 << 40, 1 << 40)])
  func impossibleShapesAreErrors(rows: Int, columns: Int) {
    let error = #expect(throws: KernelError.self) {
      try FloatMatrix(rows: rows, columns: columns)
    }
    #expect(error?.code == .argument)
  }

  @Test func memoryThatIsNotThereIsAnError() {
    let error = #expect(throws: KernelError.self) { try AlignedMemory(byteCount: 1 << 60) }
    #expect(error?.code == .memory)
  }
}

struct ProductTests {
  @Test func badWeightsAreErrors() {
    let bytes = [UInt8](repeating: 0, count: 18 * 4)
    func pack(_ outputs: Int, _ depth: Int, _ count: Int) throws {
      try bytes.prefix(count).withUnsafeBytes { source in
        _ = try PackedWeights(type: .q4_0, outputs: outputs, depth: depth, source: source)
      }
    }
    for (outputs, depth, count, word) in [
      (0, 32, 0, "empty"), (4, 0, 0, "empty"), (-3, 32, 72, "empty"), (4, 33, 72, "block"),
      (4, 32, 71, "72"), (3, 32, 72, "54"), (Int.max, 32, 72, "bytes"),
    ] {
      let error = #expect(throws: KernelError.self) { try pack(outputs, depth, count) }
      #expect(error?.code == .argument, "\(outputs) × \(depth)")
      if word != "72" && word != "54" { #expect(error?.message.contains(word) == true) }
    }
    #expect(throws: Never.self) { try pack(4, 32, 72) }
  }

  /// Products agree with float64 within the error of `depth` roundings, in every type of a float.
  @Test(arguments: [UInt64](1...4)) func productsAgreeWithFloat64(seed: UInt64) throws {
    var random = SeededRandom(seed)
    let (rows, outputs, depth) = (1 + Int(seed) * 3, 7 + 16 * Int(seed), 40 * Int(seed))
    let weights = random.floats(outputs * depth)
    let bias = random.floats(outputs)
    let packed = try weights.withUnsafeBytes {
      try PackedWeights(type: .f32, outputs: outputs, depth: depth, source: $0)
    }
    let input = try FloatMatrix(rows: rows, columns: depth)
    for row in 0..<rows { input.setRow(row, random.floats(depth)) }
    let activations = try PreparedActivations(rows: rows, depth: depth)
    activations.prepare(packed.activationType, from: input, rows: rows)
    let output = try FloatMatrix(rows: rows, columns: outputs)
    Kernels.multiply(activations, weights: packed, bias: bias, into: output)
    for row in 0..<rows {
      for column in 0..<outputs {
        let exact = (0..<depth).reduce(Double(bias[column])) {
          $0 + Double(input[row, $1]) * Double(weights[column * depth + $1])
        }
        #expect(abs(Double(output[row, column]) - exact) < 1e-6 * Double(depth), "seed \(seed)")
      }
    }

    // The same bits in parts, on a team, and twice as much when accumulated.
    let parts = try FloatMatrix(rows: rows, columns: outputs)
    for begin in stride(from: 0, to: outputs, by: 16) {
      Kernels.multiply(
        activations, weights: packed, bias: bias, into: parts,
        columns: begin..<min(begin + 16, outputs))
    }
    for row in 0..<rows { #expect(parts.row(row) == output.row(row), "seed \(seed)") }
    Kernels.multiply(activations, weights: packed, bias: bias, accumulate: true, into: parts)
    for row in 0..<rows {
      for column in 0..<outputs {
        #expect(abs(parts[row, column] - 2 * output[row, column]) < 1e-4, "seed \(seed)")
      }
    }
  }

  @Test func rowsAndTablesAreChecked() throws {
    let table: [Float] = (0..<12).map(Float.init)
    let output = try FloatMatrix(rows: 4, columns: 3)
    try table.withUnsafeBytes { bytes in
      try Kernels.gatherRows(.f32, tableRows: 4, table: bytes, indices: [3, 0], into: output)
      #expect(output.row(0) == [9, 10, 11] && output.row(1) == [0, 1, 2])
      for bad in [[Int32(4)], [-1], [0, 1, Int32.max]] {
        #expect(throws: KernelError.self) {
          try Kernels.gatherRows(.f32, tableRows: 4, table: bytes, indices: bad, into: output)
        }
      }
      #expect(throws: KernelError.self) {
        try Kernels.gatherRows(.f32, tableRows: 5, table: bytes, indices: [0], into: output)
      }
      #expect(try Kernels.dequantize(.f32, count: 12, source: bytes) == table)
      #expect(throws: KernelError.self) {
        try Kernels.dequantize(.f32, count: 13, source: bytes)
      }
      #expect(throws: KernelError.self) {
        try Kernels.dequantize(.q4_0, count: 20, source: bytes)
      }
    }
    #expect(output.row(0) == [9, 10, 11], "a refused gather wrote something")
  }

  @Test func workerRangesCoverOnceInWholeTiles() {
    for count in [0, 1, 15, 16, 17, 100, 4096, 4097] {
      for width in 1...9 {
        let ranges = (0..<width).map {
          workerRange($0, of: width, count: count, granularity: 16)
        }
        #expect(ranges.flatMap(Array.init) == Array(0..<count))
        for range in ranges where !range.isEmpty { #expect(range.lowerBound % 16 == 0) }
      }
    }
  }
}

/// SplitMix64: the same numbers on every machine for a seed.
struct SeededRandom {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// `count` values in −1 ..< 1.
  mutating func floats(_ count: Int) -> [Float] {
    (0..<count).map { _ in Float(Int32(truncatingIfNeeded: next() >> 32)) / 2_147_483_648 }
  }
}
