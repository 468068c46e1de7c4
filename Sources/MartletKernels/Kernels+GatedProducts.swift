import CMartlet

extension Kernels {
  /// Gated column ranges given to threads start at multiples of it.
  public static var gatedColumns: Int { Int(MARTLET_GATED_COLUMNS) }

  /// The first half of a gated feed-forward layer: output = activation(input × gate) × (input × up),
  /// prepared for the product after it, without writing gates or ups to memory. The bits are those
  /// of two `multiply`, `gate` and `PreparedActivations.fill`.
  ///
  /// Source: "GLU Variants Improve Transformer".
  ///
  /// - Parameters:
  ///   - gate, up: the weights of one shape, each with its prepared input of the same rows.
  ///   - output: begun with as many rows, `gate.weights.outputs` deep; no input of the products.
  ///   - columns: the outputs to compute, all by default; starts at a multiple of 32 and ends at
  ///     one or at the last output.
  ///   - copy: which copy of the weights to read, where there are several.
  /// - Complexity: 4 · rows · columns · depth operations.
  public static func gatedProducts(
    _ activation: GateActivation, gate: (weights: PackedWeights, input: PreparedActivations),
    up: (weights: PackedWeights, input: PreparedActivations), into output: PreparedActivations,
    columns: Range<Int>? = nil, copy: Int = 0
  ) {
    let outputs = gate.weights.outputs
    let columns = columns ?? 0..<outputs
    for (weights, input) in [gate, up] {
      precondition(weights.outputs == outputs, "outputs differ")
      precondition(weights.depth == gate.weights.depth, "depths differ")
      precondition(input.depth == weights.depth, "activations of another depth")
      precondition(input.type == weights.activationType, "activations are of another type")
      precondition(input.rows == output.rows, "rows differ")
      precondition(input !== output, "the output is an input")
    }
    precondition(output.depth == outputs, "the output's depth differs from the weights' outputs")
    precondition(
      columns.lowerBound >= 0 && columns.lowerBound % gatedColumns == 0
        && columns.upperBound <= outputs
        && (columns.upperBound % gatedColumns == 0 || columns.upperBound == outputs),
      "columns \(columns) are not whole blocks of \(outputs) outputs")
    guard output.rows > 0, !columns.isEmpty else { return }
    var arguments = martlet_gated_arguments()
    arguments.size = UInt32(MemoryLayout<martlet_gated_arguments>.size)
    arguments.activation = activation == .gelu ? MARTLET_GATE_GELU : MARTLET_GATE_SILU
    arguments.rows = output.rows
    arguments.columns = outputs
    arguments.depth = gate.weights.depth
    arguments.gate = operands(gate.weights, gate.input, copy)
    arguments.up = operands(up.weights, up.input, copy)
    arguments.prepared_type = output.type.cValue
    arguments.prepared = output.mutableBase
    arguments.column_begin = columns.lowerBound
    arguments.column_end = columns.upperBound
    martlet_gated_products(&arguments).expectSuccess("martlet_gated_products")
  }

  private static func operands(
    _ weights: PackedWeights, _ input: PreparedActivations, _ copy: Int
  ) -> martlet_gated_operands {
    var operands = martlet_gated_operands()
    operands.weight_type = weights.type.cValue
    operands.numeric_class = weights.numericClass.cValue
    operands.activations = input.base
    operands.weights = weights.base(copy: copy)
    return operands
  }
}
