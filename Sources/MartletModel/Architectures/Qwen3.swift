/// Qwen 3 (dense): as Llama, with rotary pairs half a head apart and RMS norms on each head of
/// queries and keys before rotation. Heads need not divide the width.
public enum Qwen3: Architecture {
  public static let id = "qwen3"

  public static func configuration(
    from keys: ArchitectureKeys
  ) throws(ModelError) -> TransformerConfiguration {
    var configuration = try keys.decoder(rope: .halves)
    configuration.hasQKNorms = true
    return configuration
  }

  public static func tensors(_ c: TransformerConfiguration) -> [TensorSlot] {
    [
      TensorSlot(.tokenEmbedding, "token_embd.weight", [c.width, c.vocabularySize]),
      TensorSlot(.outputNorm, "output_norm.weight", [c.width]),
      TensorSlot(.output, "output.weight", [c.width, c.vocabularySize], optional: c.tiedOutput),
    ]
  }

  public static func layerTensors(_ c: TransformerConfiguration) -> [TensorSlot] {
    [
      TensorSlot(.attentionNorm, "attn_norm.weight", [c.width]),
      TensorSlot(.query, "attn_q.weight", [c.width, c.queryWidth]),
      TensorSlot(.queryNorm, "attn_q_norm.weight", [c.headDimensions]),
      TensorSlot(.key, "attn_k.weight", [c.width, c.kvWidth]),
      TensorSlot(.keyNorm, "attn_k_norm.weight", [c.headDimensions]),
      TensorSlot(.value, "attn_v.weight", [c.width, c.kvWidth]),
      TensorSlot(.attentionOutput, "attn_output.weight", [c.queryWidth, c.width]),
      TensorSlot(.feedForwardNorm, "ffn_norm.weight", [c.width]),
      TensorSlot(.gate, "ffn_gate.weight", [c.width, c.feedForwardWidth]),
      TensorSlot(.up, "ffn_up.weight", [c.width, c.feedForwardWidth]),
      TensorSlot(.down, "ffn_down.weight", [c.feedForwardWidth, c.width]),
    ]
  }
}
