import CMartlet

/// What a row of logits says at temperature 1, and the token drawn from it.
public struct LogitsShape: Sendable, Equatable {
  /// False if the row holds NaN or +∞, or nothing finite. Then only `maximum` has a meaning.
  public let isClean: Bool
  /// Where the maximum is; the first place among equals.
  public let mostLikely: Int
  /// The token drawn; `mostLikely` at temperature 0.
  public let drawn: Int
  /// The largest logit, NaN passed over; −∞ when there is nothing else.
  public let maximum: Double
  /// log Σ exp(l − maximum), nats; within 2e-6 of the exact value.
  public let logSum: Double
  /// Entropy, nats; within 2e-6 of the exact value.
  public let entropy: Double
}

extension Kernels {
  /// The shape of a row, and a draw from softmax(logits / temperature) by inverse CDF in order of
  /// id. The same bits on every CPU.
  ///
  /// - Parameters:
  ///   - temperature: finite; 0 takes the most likely token.
  ///   - uniform: in 0 ..< 1.
  ///   - scratch: memory to use again in the next call; sized as needed.
  /// - Complexity: two passes over the row.
  public static func draw(
    _ logits: Span<Float>, temperature: Float, uniform: Double, scratch: inout [Float]
  ) -> LogitsShape {
    let blocks = martlet_logits_blocks(logits.count)
    if scratch.count < blocks { scratch = [Float](repeating: 0, count: blocks) }
    var shape = martlet_logits_shape()
    shape.size = UInt32(MemoryLayout<martlet_logits_shape>.size)
    logits.withUnsafeBufferPointer { row in
      martlet_logits_draw_f32(
        row.count, row.baseAddress, temperature, uniform, &scratch, &shape
      ).expectSuccess("martlet_logits_draw_f32")
    }
    return LogitsShape(
      isClean: shape.clean != 0, mostLikely: Int(shape.most_likely), drawn: Int(shape.drawn),
      maximum: shape.maximum, logSum: shape.log_sum, entropy: shape.entropy)
  }

  /// weights[i] = exp((logits[i] − maximum) / temperature), the weights that ``draw`` sums.
  ///
  /// - Parameters:
  ///   - maximum: finite.
  ///   - temperature: positive and finite.
  ///   - weights: resized to as many.
  public static func weigh(
    _ logits: [Float], maximum: Float, temperature: Float, into weights: inout [Float]
  ) {
    if weights.count != logits.count { weights = [Float](repeating: 0, count: logits.count) }
    martlet_logits_weigh_f32(logits.count, logits, maximum, temperature, &weights)
      .expectSuccess("martlet_logits_weigh_f32")
  }

  /// Copies a row into an array, resized to as many.
  public static func copy(_ row: Span<Float>, into values: inout [Float]) {
    if values.count != row.count { values = [Float](repeating: 0, count: row.count) }
    // Both hold `row.count` floats, and an array that is held exclusively is no other's memory.
    row.withUnsafeBufferPointer { source in
      values.withUnsafeMutableBufferPointer { target in _ = target.update(from: source) }
    }
  }
}
