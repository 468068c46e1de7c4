/// Llama 1–3, Mistral, SmolLM, TinyLlama: RMS norm, rotary embedding over adjacent pairs, grouped
/// queries, SiLU-gated feed-forward. Llama 3.1's long-context bands come as `rope_freqs.weight`.
public enum Llama: Architecture {
  public static let id = "llama"

  public static func configuration(
    from keys: ArchitectureKeys
  ) throws(ModelError) -> TransformerConfiguration {
    var configuration = try keys.decoder(rope: .adjacent)
    configuration.hasAttentionBiases = keys.hasTensor("blk.0.attn_q.bias")
    return configuration
  }

  public static func tensors(_ c: TransformerConfiguration) -> [TensorSlot] {
    [
      TensorSlot(.tokenEmbedding, "token_embd.weight", [c.width, c.vocabularySize]),
      TensorSlot(.outputNorm, "output_norm.weight", [c.width]),
      TensorSlot(.output, "output.weight", [c.width, c.vocabularySize], optional: c.tiedOutput),
      TensorSlot(
        .ropeFactors, "rope_freqs.weight", [c.rope.rotaryDimensions / 2], optional: true),
    ]
  }

  public static func layerTensors(_ c: TransformerConfiguration) -> [TensorSlot] {
    let biases = [
      TensorSlot(.queryBias, "attn_q.bias", [c.queryWidth]),
      TensorSlot(.keyBias, "attn_k.bias", [c.kvWidth]),
      TensorSlot(.valueBias, "attn_v.bias", [c.kvWidth]),
    ]
    return [
      TensorSlot(.attentionNorm, "attn_norm.weight", [c.width]),
      TensorSlot(.query, "attn_q.weight", [c.width, c.queryWidth]),
      TensorSlot(.key, "attn_k.weight", [c.width, c.kvWidth]),
      TensorSlot(.value, "attn_v.weight", [c.width, c.kvWidth]),
      TensorSlot(.attentionOutput, "attn_output.weight", [c.queryWidth, c.width]),
      TensorSlot(.feedForwardNorm, "ffn_norm.weight", [c.width]),
      TensorSlot(.gate, "ffn_gate.weight", [c.width, c.feedForwardWidth]),
      TensorSlot(.up, "ffn_up.weight", [c.width, c.feedForwardWidth]),
      TensorSlot(.down, "ffn_down.weight", [c.feedForwardWidth, c.width]),
    ] + (c.hasAttentionBiases ? biases : [])
  }
}
