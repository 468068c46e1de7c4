import MartletKernels

/// The weights of one transformer block, packed for products.
public struct LayerWeights: Sendable {
  /// RMS norm before attention, [width].
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
}
