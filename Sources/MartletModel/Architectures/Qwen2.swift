/// Qwen 2 and 2.5 (and models distilled into them): as Llama, with rotary pairs half a head apart and
/// biases on queries, keys and values.
public enum Qwen2: Architecture {
  public static let id = "qwen2"

  public static func configuration(
    from keys: ArchitectureKeys
  ) throws(ModelError) -> TransformerConfiguration {
    var configuration = try keys.decoder(rope: .halves)
    configuration.hasAttentionBiases = true
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
      TensorSlot(.queryBias, "attn_q.bias", [c.queryWidth]),
      TensorSlot(.key, "attn_k.weight", [c.width, c.kvWidth]),
      TensorSlot(.keyBias, "attn_k.bias", [c.kvWidth]),
      TensorSlot(.value, "attn_v.weight", [c.width, c.kvWidth]),
      TensorSlot(.valueBias, "attn_v.bias", [c.kvWidth]),
      TensorSlot(.attentionOutput, "attn_output.weight", [c.queryWidth, c.width]),
      TensorSlot(.feedForwardNorm, "ffn_norm.weight", [c.width]),
      TensorSlot(.gate, "ffn_gate.weight", [c.width, c.feedForwardWidth]),
      TensorSlot(.up, "ffn_up.weight", [c.width, c.feedForwardWidth]),
      TensorSlot(.down, "ffn_down.weight", [c.feedForwardWidth, c.width]),
    ]
  }
}
