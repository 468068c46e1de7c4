import CMartlet

extension Kernels {
  /// output = softmax(input × scale), per row. In place is fine. A row that holds a NaN, or nothing
  /// above −∞, gives NaN.
  public static func softmax(
    _ input: FloatMatrix, scale: Float = 1, into output: FloatMatrix, rows: Range<Int>
  ) {
    checkSoftmax(input, output, rows)
    guard !rows.isEmpty, input.columns > 0 else { return }
    martlet_softmax_f32(
      rows.count, input.columns, scale, input.base + rows.lowerBound * input.stride, input.stride,
      output.base + rows.lowerBound * output.stride, output.stride
    ).expectSuccess("martlet_softmax_f32")
  }

  /// output = input − log Σ e^input, per row, in nats. In place is fine.
  public static func logSoftmax(
    _ input: FloatMatrix, into output: FloatMatrix, rows: Range<Int>
  ) {
    checkSoftmax(input, output, rows)
    guard !rows.isEmpty, input.columns > 0 else { return }
    martlet_log_softmax_f32(
      rows.count, input.columns, input.base + rows.lowerBound * input.stride, input.stride,
      output.base + rows.lowerBound * output.stride, output.stride
    ).expectSuccess("martlet_log_softmax_f32")
  }

  /// log-softmax of one row of logits, in nats.
  public static func logSoftmax(_ logits: [Float]) -> [Float] {
    guard !logits.isEmpty else { return [] }
    return [Float](unsafeUninitializedCapacity: logits.count) { output, count in
      logits.withUnsafeBufferPointer { input in
        martlet_log_softmax_f32(
          1, input.count, input.baseAddress, input.count, output.baseAddress, input.count
        ).expectSuccess("martlet_log_softmax_f32")
      }
      count = logits.count
    }
  }

  private static func checkSoftmax(
    _ input: FloatMatrix, _ output: FloatMatrix, _ rows: Range<Int>
  ) {
    input.checkRows(rows)
    output.checkRows(rows)
    precondition(input.columns == output.columns, "columns differ")
  }
}
