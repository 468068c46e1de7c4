import CMartlet

/// The kernels, safely: every call checks its shapes and traps on a programmer error.
///
/// All functions are reentrant and start no threads. Several threads may share a call's matrices as
/// long as each writes its own rows or columns; the result never depends on how work was split.
public enum Kernels {
  /// Outputs per tile: column ranges given to threads start at multiples of it.
  public static var columnTile: Int { Int(MARTLET_GEMM_TILE) }

  /// output[row][column] = Σ over depth of activation[row][depth] × weight[column][depth] (+ bias).
  ///
  /// - Parameters:
  ///   - activations: prepared as `weights.activationType`, `weights.depth` deep.
  ///   - bias: one value per output, added after the product.
  ///   - accumulate: adds to `output` instead of replacing it.
  ///   - output: at least `activations.rows` rows of exactly `weights.outputs` columns.
  ///   - columns: the outputs to compute, all by default; starts at a multiple of 16 and ends at
  ///     one or at the last output.
  ///   - copy: which copy of the weights to read, where there are several.
  /// - Complexity: 2 · rows · columns · depth operations.
  public static func multiply(
    _ activations: PreparedActivations, weights: PackedWeights, bias: [Float]? = nil,
    accumulate: Bool = false, into output: FloatMatrix, columns: Range<Int>? = nil,
    copy: Int = 0
  ) {
    let columns = columns ?? 0..<weights.outputs
    precondition(activations.depth == weights.depth, "depths differ")
    precondition(activations.type == weights.activationType, "activations are of another type")
    precondition(output.rows >= activations.rows, "too few output rows")
    precondition(output.columns == weights.outputs, "output columns differ from weight outputs")
    precondition(bias == nil || bias?.count == weights.outputs, "bias of another length")
    precondition(
      columns.lowerBound >= 0 && columns.lowerBound % columnTile == 0
        && columns.upperBound <= weights.outputs
        && (columns.upperBound % columnTile == 0 || columns.upperBound == weights.outputs),
      "columns \(columns) are not whole tiles of \(weights.outputs) outputs")
    guard activations.rows > 0, !columns.isEmpty else { return }
    withOptionalPointer(bias) { biasPointer in
      var arguments = martlet_gemm_arguments()
      arguments.size = UInt32(MemoryLayout<martlet_gemm_arguments>.size)
      arguments.weight_type = weights.type.cValue
      arguments.numeric_class = weights.numericClass.cValue
      arguments.accumulate = accumulate ? 1 : 0
      arguments.rows = activations.rows
      arguments.columns = weights.outputs
      arguments.depth = weights.depth
      arguments.activations = activations.base
      arguments.weights = weights.base(copy: copy)
      arguments.bias = biasPointer
      arguments.output = output.base
      arguments.output_stride = output.stride
      arguments.column_begin = columns.lowerBound
      arguments.column_end = columns.upperBound
      martlet_gemm(&arguments).expectSuccess("martlet_gemm")
    }
  }

  /// target[row] += addend[row] for `rows` of two matrices of one shape.
  public static func add(_ addend: FloatMatrix, to target: FloatMatrix, rows: Range<Int>) {
    addend.checkRows(rows)
    target.checkRows(rows)
    precondition(addend.columns == target.columns, "columns differ")
    for row in rows {
      martlet_add_f32(
        target.columns, addend.base + row * addend.stride, target.base + row * target.stride
      ).expectSuccess("martlet_add_f32")
    }
  }

  /// Calls `body` with the elements of `values`, or with null.
  static func withOptionalPointer(
    _ values: [Float]?, _ body: (UnsafePointer<Float>?) -> Void
  ) {
    guard let values else { return body(nil) }
    values.withUnsafeBufferPointer { body($0.baseAddress) }
  }
}
