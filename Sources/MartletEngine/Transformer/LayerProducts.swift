import MartletKernels
import MartletModel

/// One layer's products over the scratch matrices, put together once.
struct LayerProducts: Sendable {
  /// Queries, keys and values from the normalised hidden state.
  let projections: ProductGroup
  /// Attention's output, added to the hidden state.
  let attentionOutput: ProductGroup
  /// Gate and up from the normalised hidden state, and the activation between them.
  let gated: GatedProducts
  /// The feed-forward output, added to the hidden state.
  let down: ProductGroup

  init(_ layer: LayerWeights, _ activation: GateActivation, _ scratch: TransformerScratch) {
    let prepared = scratch.prepared
    var projections = ProductGroup()
    projections.add(layer.query, bias: layer.queryBias, from: prepared, into: scratch.queries)
    projections.add(layer.key, bias: layer.keyBias, from: prepared, into: scratch.keys)
    projections.add(layer.value, bias: layer.valueBias, from: prepared, into: scratch.values)
    self.projections = projections

    var attentionOutput = ProductGroup()
    attentionOutput.add(
      layer.attentionOutput, from: prepared, into: scratch.residual, accumulate: true)
    self.attentionOutput = attentionOutput

    gated = GatedProducts(
      gate: layer.gate, up: layer.up, activation: activation, scratch, into: layer.down)

    var down = ProductGroup()
    down.add(layer.down, from: scratch.gated, into: scratch.residual, accumulate: true)
    self.down = down
  }
}
