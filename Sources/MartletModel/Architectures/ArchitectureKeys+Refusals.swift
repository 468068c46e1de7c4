extension ArchitectureKeys {
  /// Numeric keys that would change what the model computes, with the values that change nothing.
  private static let notHonoured: [(suffix: String, neutral: [Double], what: String)] = [
    ("expert_count", [0], "a mixture of experts"),
    ("logit_scale", [0, 1], "scaled logits"),
    ("attn_logit_softcapping", [0], "soft-capped attention scores"),
    ("final_logit_softcapping", [0], "soft-capped logits"),
    ("residual_scale", [0, 1], "scaled residuals"),
    ("embedding_scale", [0, 1], "scaled embeddings"),
    ("attention.clamp_kqv", [0], "clamped queries, keys and values"),
    ("attention.max_alibi_bias", [0], "ALiBi positions"),
    ("attention.output_scale", [0, 1], "scaled attention outputs"),
    ("attention.value_scale", [0, 1], "scaled values"),
    ("attention.temperature_length", [0], "attention temperature by position"),
    ("attention.temperature_scale", [0], "attention temperature by position"),
    ("attention.shared_kv_layers", [0], "layers that share keys and values"),
    ("rope.scaling.alpha", [0], "rope scaling by alpha"),
    ("rope.scaling.yarn_log_multiplier", [0], "YaRN with a logarithmic multiplier"),
    ("pooling_type", [0], "pooled embeddings instead of a next-token distribution"),
    ("nextn_predict_layers", [0], "multi-token prediction layers"),
    ("embedding_length_per_layer_input", [0], "per-layer embeddings"),
  ]

  /// Throws `unsupported` when the file asks for something that changes the result and that this
  /// version does not compute: a wrong answer is worse than none.
  func refuseWhatIsNotHonoured() throws(ModelError) {
    for row in Self.notHonoured {
      guard let value = try metadata.optionalFloat(key(row.suffix)), !row.neutral.contains(value)
      else { continue }
      throw refusal(row.suffix, "\(value)", row.what)
    }
    if try metadata.optionalBool(key("attention.causal")) == false {
      throw refusal("attention.causal", "false", "attention to later tokens")
    }
    if try metadata.optionalBool(key("use_parallel_residual")) == true {
      throw refusal("use_parallel_residual", "true", "parallel residuals")
    }
    if let activation = try metadata.optionalString(key("hidden_activation")),
      activation != "silu"
    {
      throw refusal("hidden_activation", "'\(activation)'", "another feed-forward activation")
    }
    for suffix in ["attention.sliding_window_pattern", "rope.dimension_sections"]
    where metadata.contains(key(suffix)) {
      throw refusal(suffix, "present", "attention that differs from layer to layer or by section")
    }
  }

  private func refusal(_ suffix: String, _ value: String, _ what: String) -> ModelError {
    ModelError(
      .unsupported,
      "\(metadata.source): '\(key(suffix))' is \(value): the model uses \(what), "
        + "which this version does not run.")
  }
}
