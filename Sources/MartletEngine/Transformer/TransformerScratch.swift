import MartletKernels
import MartletModel

/// Everything a forward pass writes between its input and its logits, allocated once.
final class TransformerScratch: Sendable {
  /// The hidden state that blocks add to.
  let residual: FloatMatrix
  /// Its normalised form.
  let normed: FloatMatrix
  let queries: FloatMatrix
  let keys: FloatMatrix
  let values: FloatMatrix
  /// What attention gives, before its output product.
  let attended: FloatMatrix
  let rope: RopeTable
  /// Activations by the form in which weights of this model read them.
  let prepared: [ActivationType: PreparedActivations]
  /// The gated state, which is written while products read `prepared`.
  let gated: [ActivationType: PreparedActivations]

  init(_ parts: TransformerParts, rows: Int) throws(KernelError) {
    let c = parts.configuration
    residual = try FloatMatrix(rows: rows, columns: c.width)
    normed = try FloatMatrix(rows: rows, columns: c.width)
    queries = try FloatMatrix(rows: rows, columns: c.queryWidth)
    keys = try FloatMatrix(rows: rows, columns: c.kvWidth)
    values = try FloatMatrix(rows: rows, columns: c.kvWidth)
    attended = try FloatMatrix(rows: rows, columns: c.queryWidth)
    rope = try RopeTable(c.rope, positions: c.contextLength)

    let deepest = max(c.width, c.queryWidth)
    var prepared: [ActivationType: PreparedActivations] = [:]
    for weights in parts.layers.flatMap(\.matrices) + [parts.output]
    where prepared[weights.activationType] == nil {
      prepared[weights.activationType] = try PreparedActivations(rows: rows, depth: deepest)
    }
    self.prepared = prepared
    var gated: [ActivationType: PreparedActivations] = [:]
    for type in Set(parts.layers.map(\.down.activationType)) {
      gated[type] = try PreparedActivations(rows: rows, depth: c.feedForwardWidth)
    }
    self.gated = gated
  }
}
