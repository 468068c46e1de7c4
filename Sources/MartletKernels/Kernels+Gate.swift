import CMartlet

/// The non-linearity of a gated feed-forward layer.
public enum GateActivation: String, Sendable, CaseIterable {
  /// x / (1 + e^−x).
  case silu
  /// The Gaussian error linear unit by its tanh approximation.
  case gelu
}

extension Kernels {
  /// output = activation(gate) × up, element by element, over `rows` and `columns` of three matrices
  /// of one shape. Source: "GLU Variants Improve Transformer". `output` may be `gate` or `up`.
  public static func gate(
    _ activation: GateActivation, gate: FloatMatrix, up: FloatMatrix, into output: FloatMatrix,
    rows: Range<Int>, columns: Range<Int>? = nil
  ) {
    let columns = columns ?? 0..<output.columns
    for matrix in [gate, up, output] { matrix.checkRows(rows) }
    precondition(
      gate.columns == up.columns && gate.columns == output.columns, "columns differ")
    precondition(
      columns.lowerBound >= 0 && columns.upperBound <= output.columns, "columns \(columns)")
    guard !columns.isEmpty else { return }
    for row in rows {
      let gateStart = gate.base + row * gate.stride + columns.lowerBound
      let upStart = up.base + row * up.stride + columns.lowerBound
      let outputStart = output.base + row * output.stride + columns.lowerBound
      switch activation {
      case .silu:
        martlet_silu_gate_f32(columns.count, gateStart, upStart, outputStart)
          .expectSuccess("martlet_silu_gate_f32")
      case .gelu:
        martlet_gelu_gate_f32(columns.count, gateStart, upStart, outputStart)
          .expectSuccess("martlet_gelu_gate_f32")
      }
    }
  }
}
