import MartletKernels
import Testing

/// A gated product is two products, the gate and the preparation: the same bits, however many rows
/// and however its columns are divided.
struct GatedProductTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var gate = WeightType.q4_0
    var up = WeightType.q4_0
    var down = WeightType.q8_0
    var numericClass = NumericClass.portable
    var rows: Int
    var columns: Int
    var depth: Int
    var activation = GateActivation.silu
    var testDescription: String {
      "\(gate.name) \(up.name) \(down.name) \(numericClass) \(rows)×\(columns)×\(depth)"
    }
  }

  static let cases = [
    Case(rows: 1, columns: 5_120, depth: 64), Case(rows: 3, columns: 96, depth: 96),
    Case(rows: 17, columns: 608, depth: 256, activation: .gelu),
    // More rows than a group holds, of short and of long rows.
    Case(rows: 131, columns: 160, depth: 64), Case(rows: 70, columns: 64, depth: 8_192),
    Case(gate: .q6_K, up: .q4_K, down: .q4_0, rows: 40, columns: 288, depth: 512),
    // Inputs of two forms, and results that are not quantised.
    Case(gate: .q8_0, up: .f32, down: .f32, rows: 9, columns: 88, depth: 64),
    Case(gate: .f32, up: .f16, down: .f16, rows: 5, columns: 41, depth: 7),
    Case(
      gate: .bf16, up: .bf16, down: .bf16, numericClass: .bf16Dot, rows: 12, columns: 100,
      depth: 48),
  ]

  @Test(arguments: cases) func bitsAreThoseOfItsParts(_ c: Case) throws {
    var random = SeededRandom(UInt64(c.rows * 1_000 + c.columns))
    let gate = try weights(c.gate, c.columns, c.depth, c.numericClass, &random)
    let up = try weights(c.up, c.columns, c.depth, c.numericClass, &random)
    let down = try weights(c.down, 48, c.columns, c.numericClass, &random)
    let input = try FloatMatrix(rows: c.rows, columns: c.depth)
    for row in 0..<c.rows { input.setRow(row, random.floats(c.depth)) }
    let gateInput = try PreparedActivations(rows: c.rows, depth: c.depth)
    gateInput.prepare(gate.activationType, from: input, rows: c.rows)
    let upInput = try PreparedActivations(rows: c.rows, depth: c.depth)
    upInput.prepare(up.activationType, from: input, rows: c.rows)

    let gates = try FloatMatrix(rows: c.rows, columns: c.columns)
    let ups = try FloatMatrix(rows: c.rows, columns: c.columns)
    Kernels.multiply(gateInput, weights: gate, into: gates)
    Kernels.multiply(upInput, weights: up, into: ups)
    Kernels.gate(c.activation, gate: gates, up: ups, into: gates, rows: 0..<c.rows)
    let prepared = try PreparedActivations(rows: c.rows, depth: c.columns)
    prepared.prepare(down.activationType, from: gates, rows: c.rows)
    let expected = try FloatMatrix(rows: c.rows, columns: 48)
    Kernels.multiply(prepared, weights: down, into: expected)
    #expect(expected.row(0).contains { $0 != 0 })

    for step in [Kernels.gatedColumns, 3 * Kernels.gatedColumns, 1 << 20] {
      let gated = try PreparedActivations(rows: c.rows, depth: c.columns)
      gated.begin(down.activationType, rows: c.rows, depth: c.columns)
      for begin in stride(from: 0, to: c.columns, by: step).reversed() {
        Kernels.gatedProducts(
          c.activation, gate: (gate, gateInput), up: (up, upInput), into: gated,
          columns: begin..<min(begin + step, c.columns))
      }
      let actual = try FloatMatrix(rows: c.rows, columns: 48)
      Kernels.multiply(gated, weights: down, into: actual)
      for row in 0..<c.rows {
        #expect(
          actual.row(row).map(\.bitPattern) == expected.row(row).map(\.bitPattern),
          "row \(row), \(step) columns at a time")
      }
    }
  }

  /// Random weights: any bits of the quants, scales that keep values small.
  private func weights(
    _ type: WeightType, _ outputs: Int, _ depth: Int, _ numericClass: NumericClass,
    _ random: inout SeededRandom
  ) throws -> PackedWeights {
    let count = try #require(type.byteCount(elements: outputs * depth))
    var bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 40) }
    func half(at index: Int) {
      bytes[index] = UInt8(truncatingIfNeeded: random.next() >> 40)
      bytes[index + 1] = 0x20 | UInt8(truncatingIfNeeded: random.next() >> 63) << 7
    }
    switch type {
    case .f32:
      bytes = random.floats(outputs * depth).flatMap { value in
        withUnsafeBytes(of: value) { Array($0) }
      }
    case .f16: for index in stride(from: 0, to: count, by: 2) { half(at: index) }
    case .bf16:
      for index in stride(from: 1, to: count, by: 2) { bytes[index] = bytes[index] & 0x80 | 0x3d }
    default:
      for block in stride(from: 0, to: count, by: type.blockBytes) {
        half(at: type == .q6_K ? block + 208 : block)
        if type == .q4_K { half(at: block + 2) }
      }
    }
    return try bytes.withUnsafeBytes {
      try PackedWeights(
        type: type, numericClass: numericClass, outputs: outputs, depth: depth, source: $0)
    }
  }
}
