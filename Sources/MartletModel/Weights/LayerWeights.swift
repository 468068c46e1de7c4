import MartletKernels

/// The weights of one transformer block, packed for products.
public struct LayerWeights: Sendable {
  /// RMS norm before attention, [width]; empty where there is none, as in some EAGLE heads.
  public let attentionNorm: [Float]
  /// width → query heads × head dimensions.
  public let query: PackedWeights
  /// width → key-value heads × head dimensions.
  public let key: PackedWeights
  /// width → key-value heads × head dimensions.
  public let value: PackedWeights
  /// query heads × head dimensions → width.
  public let attentionOutput: PackedWeights
  /// Added to queries, where the architecture has biases.
  public let queryBias: [Float]?
  /// Added to keys.
  public let keyBias: [Float]?
  /// Added to values.
  public let valueBias: [Float]?
  /// RMS norm of each query head before rotation, [head dimensions].
  public let queryNorm: [Float]?
  /// RMS norm of each key head before rotation, [head dimensions].
  public let keyNorm: [Float]?
  /// RMS norm before the feed-forward layer, [width].
  public let feedForwardNorm: [Float]
  /// width → feed-forward width, through the activation.
  public let gate: PackedWeights
  /// width → feed-forward width.
  public let up: PackedWeights
  /// feed-forward width → width.
  public let down: PackedWeights

  /// The weights of a block; shapes are checked by whoever runs them.
  public init(
    attentionNorm: [Float], query: PackedWeights, key: PackedWeights, value: PackedWeights,
    attentionOutput: PackedWeights, queryBias: [Float]? = nil, keyBias: [Float]? = nil,
    valueBias: [Float]? = nil, queryNorm: [Float]? = nil, keyNorm: [Float]? = nil,
    feedForwardNorm: [Float], gate: PackedWeights, up: PackedWeights, down: PackedWeights
  ) {
    self.attentionNorm = attentionNorm
    self.query = query
    self.key = key
    self.value = value
    self.attentionOutput = attentionOutput
    self.queryBias = queryBias
    self.keyBias = keyBias
    self.valueBias = valueBias
    self.queryNorm = queryNorm
    self.keyNorm = keyNorm
    self.feedForwardNorm = feedForwardNorm
    self.gate = gate
    self.up = up
    self.down = down
  }

  /// Weights that a token is multiplied with.
  var multiplied: Int {
    [query, key, value, attentionOutput, gate, up, down].reduce(0) {
      $0 + $1.outputs * $1.depth
    }
  }
}
