import CMartlet

extension Kernels {
  /// Root-mean-square normalisation of each row: input × 1/√(mean(input²) + ε) × weight.
  ///
  /// Source: "Root Mean Square Layer Normalization". `output` may be `input`.
  public static func rmsNorm(
    _ input: FloatMatrix, weight: [Float], epsilon: Float, into output: FloatMatrix,
    rows: Range<Int>
  ) {
    checkNorm(input, output, rows, weight.count)
    guard !rows.isEmpty, input.columns > 0 else { return }
    weight.withUnsafeBufferPointer { weight in
      martlet_rms_norm_f32(
        rows.count, input.columns, input.base + rows.lowerBound * input.stride, input.stride,
        weight.baseAddress, epsilon, output.base + rows.lowerBound * output.stride, output.stride
      ).expectSuccess("martlet_rms_norm_f32")
    }
  }

  /// Root-mean-square normalisation of every head of every row in place; `weight` has one value per
  /// head dimension and `values.columns` is a whole number of heads.
  public static func rmsNormHeads(
    _ values: FloatMatrix, weight: [Float], epsilon: Float, rows: Range<Int>
  ) {
    values.checkRows(rows)
    let dimensions = weight.count
    precondition(dimensions > 0 && values.columns % dimensions == 0, "columns are no whole heads")
    weight.withUnsafeBufferPointer { weight in
      for row in rows {
        let start = values.base + row * values.stride
        martlet_rms_norm_f32(
          values.columns / dimensions, dimensions, start, dimensions, weight.baseAddress, epsilon,
          start, dimensions
        ).expectSuccess("martlet_rms_norm_f32")
      }
    }
  }

  /// Layer normalisation of each row: (input − mean) × 1/√(variance + ε) × weight + bias.
  ///
  /// Source: "Layer Normalization". `output` may be `input`.
  public static func layerNorm(
    _ input: FloatMatrix, weight: [Float], bias: [Float]? = nil, epsilon: Float,
    into output: FloatMatrix, rows: Range<Int>
  ) {
    checkNorm(input, output, rows, weight.count)
    precondition(bias == nil || bias?.count == weight.count, "bias of another length")
    guard !rows.isEmpty, input.columns > 0 else { return }
    weight.withUnsafeBufferPointer { weight in
      withOptionalPointer(bias) { bias in
        martlet_layer_norm_f32(
          rows.count, input.columns, input.base + rows.lowerBound * input.stride, input.stride,
          weight.baseAddress, bias, epsilon, output.base + rows.lowerBound * output.stride,
          output.stride
        ).expectSuccess("martlet_layer_norm_f32")
      }
    }
  }

  private static func checkNorm(
    _ input: FloatMatrix, _ output: FloatMatrix, _ rows: Range<Int>, _ weights: Int
  ) {
    input.checkRows(rows)
    output.checkRows(rows)
    precondition(input.columns == output.columns, "columns differ")
    precondition(weights == input.columns, "\(weights) weights for \(input.columns) columns")
  }
}
