import MartletKernels

/// A small decoder that continues the base model's features: from feature t and the token at t + 1
/// it makes feature t + 1, of which the base model's output makes logits.
///
/// The feature and the token's embedding, from the base model's table, are joined by one product
/// (embedding first) and go through one decoder layer or several. Source: "EAGLE: Speculative Sampling
/// Requires Rethinking Feature Uncertainty".
///
/// Files: `general.architecture` = `martlet-eagle`; `martlet-eagle.` + the keys of a `llama` file and
/// `vocab_size`; tensors `fc.weight` [2 · width, width], optionally `fc.bias` [width]; a `llama` file's
/// tensors of each block, of which `attn_norm.weight` may be absent (published heads have no norm
/// there); optionally `output_norm.weight`, after the last block. Queries and keys are rotated in the
/// base model's way.
public struct EagleHead: Sendable {
  /// The value of `general.architecture`.
  public static let architecture = "martlet-eagle"

  /// The file it came from.
  public let path: String
  /// See ``DraftHeads/baseFingerprint``.
  public let baseFingerprint: String?
  /// Shape and settings; vocabulary and context are the base model's.
  public let configuration: TransformerConfiguration
  /// Embedding and feature, joined → width.
  public let fusion: PackedWeights
  /// Added to it, if there is one.
  public let fusionBias: [Float]?
  /// The decoder's blocks.
  public let layers: [LayerWeights]
  /// RMS norm after the last block, [width]; empty where there is none.
  public let outputNorm: [Float]

  init(
    _ file: GGUFFile, _ base: TransformerModel, _ team: (any ParallelFor)?,
    _ placement: WeightPlacement?
  ) throws(ModelError) {
    let header = try HeadsFile(file, architecture: Self.architecture, base: base)
    let theirs = base.configuration
    var c = try header.keys.decoder(
      rope: theirs.rope.layout, vocabularySize: theirs.vocabularySize)
    // It goes as far as the base model does.
    c.contextLength = theirs.contextLength
    c.hasAttentionBiases = header.keys.hasTensor("blk.0.attn_q.bias")
    let plan = try Self.plan(file, c)
    var reader = WeightReader(
      file, plan, numericClass: base.numericClass, team: team, placement: placement, progress: nil)

    path = file.path
    baseFingerprint = header.baseFingerprint
    configuration = c
    fusion = try reader.matrix(plan.model, .fusion)
    fusionBias = try reader.optionalVector(plan.model, .fusionBias)
    var layers: [LayerWeights] = []
    for number in 0..<c.layers { layers.append(try reader.layer(number)) }
    self.layers = layers
    outputNorm = try reader.optionalVector(plan.model, .outputNorm) ?? []
    try file.verifyUnchanged()
  }

  private static func plan(
    _ file: GGUFFile, _ c: TransformerConfiguration
  ) throws(ModelError) -> TensorPlan {
    var unused = Set(file.tensors.keys)
    let model = try TensorPlan.resolve(
      [
        TensorSlot(.fusion, "fc.weight", [2 * c.width, c.width]),
        TensorSlot(.fusionBias, "fc.bias", [c.width], optional: true),
        TensorSlot(.outputNorm, "output_norm.weight", [c.width], optional: true),
      ], prefix: "", file, &unused)
    let slots = Llama.layerTensors(c).map { slot in
      var slot = slot
      if slot.role == .attentionNorm { slot.optional = true }
      return slot
    }
    var layers: [[TensorRole: TensorInfo]] = []
    for layer in 0..<c.layers {
      layers.append(try TensorPlan.resolve(slots, prefix: "blk.\(layer).", file, &unused))
    }
    try TensorPlan.refuse(unused, file, what: "an EAGLE head of \(c.layers) layers")
    return TensorPlan(configuration: c, model: model, layers: layers)
  }

  /// Bytes of packed weights in memory.
  public var packedByteCount: Int {
    layers.reduce(fusion.byteCount) { $0 + $1.packedByteCount }
  }
}
