import MartletKernels
import MartletModel

/// One layer's products over the scratch matrices, put together once.
struct LayerProducts: Sendable {
  /// Queries, keys and values from the normalised hidden state.
  let projections: ProductGroup
  /// Attention's output, added to the hidden state.
  let attentionOutput: ProductGroup
  /// Gate and up from the normalised hidden state.
  let gated: ProductGroup
  /// The feed-forward output, added to the hidden state.
  let down: ProductGroup

  init(_ layer: LayerWeights, _ scratch: TransformerScratch) {
    var projections = ProductGroup()
    projections.add(layer.query, bias: layer.queryBias, scratch, into: scratch.queries)
    projections.add(layer.key, bias: layer.keyBias, scratch, into: scratch.keys)
    projections.add(layer.value, bias: layer.valueBias, scratch, into: scratch.values)
    self.projections = projections

    var attentionOutput = ProductGroup()
    attentionOutput.add(layer.attentionOutput, scratch, into: scratch.residual, accumulate: true)
    self.attentionOutput = attentionOutput

    var gated = ProductGroup()
    gated.add(layer.gate, scratch, into: scratch.gate)
    gated.add(layer.up, scratch, into: scratch.up)
    self.gated = gated

    var down = ProductGroup()
    down.add(layer.down, scratch, into: scratch.residual, accumulate: true)
    self.down = down
  }
}
