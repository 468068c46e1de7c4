import MartletKernels

extension ArchitectureKeys {
  /// Rotary embedding from `rope.*`: base, dimensions, and linear or YaRN scaling, current or legacy
  /// keys. Llama 3's frequency factors are a tensor and are added when weights are read.
  func rope(
    layout: RopeConfiguration.Layout, headDimensions: Int, context: Int
  ) throws(ModelError) -> RopeConfiguration {
    let rotary = try size("rope.dimension_count", in: 2...headDimensions, default: headDimensions)
    guard rotary.isMultiple(of: 2) else {
      throw ModelError(
        .value,
        "\(metadata.source): '\(key("rope.dimension_count"))' is \(rotary); it must be even.")
    }
    var rope = RopeConfiguration(
      layout: layout, rotaryDimensions: rotary,
      base: try positive("rope.freq_base", default: 10_000))
    try readScaling(into: &rope, context: context)
    return rope
  }

  private func readScaling(
    into rope: inout RopeConfiguration, context: Int
  ) throws(ModelError) {
    let typeKey = key("rope.scaling.type")
    let type = try metadata.optionalString(typeKey)
    // A file from before `rope.scaling.*` gives a linear factor alone; zero stands for none.
    let legacy = try number("rope.scale_linear", default: 0)
    let given = try number("rope.scaling.factor", default: legacy)
    let factor = given == 0 ? 1 : given
    guard factor > 0 else {
      throw ModelError(
        .value, "\(metadata.source): the rope scaling factor is \(factor); it must be above zero.")
    }
    let attention = try positive("rope.scaling.attn_factor", default: 1)
    rope.originalContext = Double(
      try size("rope.scaling.original_context_length", in: 1...Int(Int32.max), default: context))

    switch type {
    case "none": break
    case "linear", nil:
      rope.scaling = factor == 1 ? .none : .linear
      rope.factor = factor
    case "yarn":
      rope.scaling = .yarn
      rope.factor = factor
      rope.yarnAttention = attention
      rope.yarnExtrapolation = try number("rope.scaling.yarn_ext_factor", default: 1)
      rope.yarnBetaFast = try positive("rope.scaling.yarn_beta_fast", default: 32)
      rope.yarnBetaSlow = try positive("rope.scaling.yarn_beta_slow", default: 1)
    case .some(let other):
      throw ModelError(
        .unsupported,
        "\(metadata.source): '\(typeKey)' is '\(other)'; none, linear and yarn are honoured.")
    }
    if rope.scaling != .yarn, attention != 1 {
      throw ModelError(
        .unsupported,
        "\(metadata.source): '\(key("rope.scaling.attn_factor"))' is \(attention), which is "
          + "honoured with yarn scaling only.")
    }
  }
}
