import MartletKernels

/// The metadata of one architecture (keys such as `llama.block_count`) and the names of the file's
/// tensors: what an architecture page reads its configuration from.
public struct ArchitectureKeys: Sendable {
  /// All metadata of the file.
  public let metadata: GGUFMetadata
  private let architecture: String
  private let tensors: [String: TensorInfo]

  init(_ file: GGUFFile, architecture: String) {
    metadata = file.metadata
    tensors = file.tensors
    self.architecture = architecture
  }

  /// Whether the file holds a tensor of this name.
  public func hasTensor(_ name: String) -> Bool { tensors[name] != nil }

  /// The full key of an architecture's value: `llama.` + `block_count`.
  public func key(_ suffix: String) -> String { "\(architecture).\(suffix)" }

  /// A size within `range`, or `fallback` when the key is absent; without one, an error.
  /// An array (one value per layer) is taken when all its values are the same.
  public func size(
    _ suffix: String, in range: ClosedRange<Int>, default fallback: Int? = nil
  ) throws(ModelError) -> Int {
    let value = try uniform(suffix) ?? fallback
    guard let value else { return try metadata.int(key(suffix)) }
    guard range.contains(value) else {
      throw ModelError(
        .value,
        "\(metadata.source): '\(key(suffix))' is \(value); it must be \(range.lowerBound) to "
          + "\(range.upperBound).")
    }
    return value
  }

  /// A finite number, or `fallback` when the key is absent.
  public func number(_ suffix: String, default fallback: Double) throws(ModelError) -> Double {
    let value = try metadata.optionalFloat(key(suffix)) ?? fallback
    guard value.isFinite else {
      throw ModelError(.value, "\(metadata.source): '\(key(suffix))' is \(value).")
    }
    return value
  }

  /// A number above zero, or `fallback` when the key is absent.
  public func positive(_ suffix: String, default fallback: Double) throws(ModelError) -> Double {
    let value = try number(suffix, default: fallback)
    guard value > 0 else {
      throw ModelError(
        .value, "\(metadata.source): '\(key(suffix))' is \(value); it must be above zero.")
    }
    return value
  }

  private func uniform(_ suffix: String) throws(ModelError) -> Int? {
    guard case .array(let array) = metadata[key(suffix)] else {
      return try metadata.optionalInt(key(suffix))
    }
    let values = try array.integers()
    guard let first = values.first, values.allSatisfy({ $0 == first }) else {
      throw ModelError(
        .unsupported,
        "\(metadata.source): '\(key(suffix))' differs from layer to layer, "
          + "which this version does not run.")
    }
    return first
  }
}

extension ArchitectureKeys {
  /// What all decoder-only transformers share. Biases and q/k norms are left off for the page to
  /// turn on. `vocabularySize` is given for a file without an embedding table of its own.
  public func decoder(
    rope layout: RopeConfiguration.Layout, vocabularySize: Int? = nil
  ) throws(ModelError) -> TransformerConfiguration {
    try refuseWhatIsNotHonoured()
    let width = try size("embedding_length", in: 1...1 << 20)
    let layers = try size("block_count", in: 1...4096)
    let heads = try size("attention.head_count", in: 1...65_536)
    let kvHeads = try size("attention.head_count_kv", in: 1...65_536, default: heads)
    guard heads.isMultiple(of: kvHeads) else {
      throw ModelError(
        .value,
        "\(metadata.source): \(heads) query heads cannot share \(kvHeads) key-value heads "
          + "('\(key("attention.head_count_kv"))' must divide '\(key("attention.head_count"))').")
    }
    let headDimensions = try headDimensions(width: width, heads: heads)
    let context = try size("context_length", in: 1...Int(Int32.max))
    let window = try size("attention.sliding_window", in: 0...Int(Int32.max), default: 0)
    let scale = try number("attention.scale", default: 0)
    var tokens = vocabularySize ?? 0
    if vocabularySize == nil { tokens = try embeddedTokens() }
    return TransformerConfiguration(
      architecture: architecture,
      name: try metadata.optionalString("general.name") ?? architecture,
      vocabularySize: tokens, contextLength: context, width: width, layers: layers,
      queryHeads: heads, kvHeads: kvHeads, headDimensions: headDimensions,
      feedForwardWidth: try size("feed_forward_length", in: 1...1 << 22),
      normEpsilon: try epsilon(),
      rope: try rope(layout: layout, headDimensions: headDimensions, context: context),
      attentionScale: scale == 0 ? 1 / Float(headDimensions).squareRoot() : Float(scale),
      slidingWindow: window == 0 || window >= context ? nil : window,
      hasAttentionBiases: false, hasQKNorms: false, activation: .silu,
      tiedOutput: !hasTensor("output.weight"))
  }

  private func epsilon() throws(ModelError) -> Float {
    let name = key("attention.layer_norm_rms_epsilon")
    let value = Float(try metadata.float(name))
    guard value.isFinite, value >= 0, value < 1 else {
      throw ModelError(.value, "\(metadata.source): '\(name)' is \(value); it must be in 0..<1.")
    }
    return value
  }

  private func headDimensions(width: Int, heads: Int) throws(ModelError) -> Int {
    guard metadata.contains(key("attention.key_length")) || width.isMultiple(of: heads) else {
      throw ModelError(
        .value,
        "\(metadata.source): '\(key("embedding_length"))' \(width) is not a multiple of "
          + "'\(key("attention.head_count"))' \(heads), and no "
          + "'\(key("attention.key_length"))' is given.")
    }
    let keyLength = try size("attention.key_length", in: 1...4096, default: width / heads)
    let valueLength = try size("attention.value_length", in: 1...4096, default: keyLength)
    guard keyLength == valueLength else {
      throw ModelError(
        .unsupported,
        "\(metadata.source): keys of \(keyLength) and values of \(valueLength) elements per head; "
          + "this version needs them equal.")
    }
    return keyLength
  }

  /// Rows of the embedding table, which must agree with the tokenizer's list when there is one.
  private func embeddedTokens() throws(ModelError) -> Int {
    guard let table = tensors["token_embd.weight"] else {
      throw ModelError(
        .missing,
        "\(metadata.source): tensor 'token_embd.weight' is missing. "
          + "A vocabulary-only file can tokenize, but not run.")
    }
    guard table.shape.count == 2, table.shape[1] <= 1 << 24 else {
      throw ModelError(
        .shape,
        "\(metadata.source): tensor 'token_embd.weight' has shape \(table.shapeText); it must be "
          + "[width, tokens] with at most \(1 << 24) tokens.")
    }
    if let tokens = try metadata.optionalArray("tokenizer.ggml.tokens"),
      tokens.count != table.shape[1]
    {
      throw ModelError(
        .shape,
        "\(metadata.source): 'tokenizer.ggml.tokens' lists \(tokens.count) tokens, but "
          + "'token_embd.weight' has \(table.shape[1]) rows.")
    }
    return table.shape[1]
  }
}
