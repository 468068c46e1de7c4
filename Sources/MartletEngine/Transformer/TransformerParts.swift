import MartletKernels
import MartletModel

/// Where the hidden states of tokens come from.
public protocol TokenEmbedding: Sendable {
  /// Writes the embedding of tokens[i] into row i of `output` for i in `rows`. Tokens are inside the
  /// vocabulary.
  func gather(
    _ tokens: [Token], into output: FloatMatrix, rows: Range<Int>?
  ) throws(ModelError)
}

extension EmbeddingTable: TokenEmbedding {}

/// What a transformer backend computes with: a configuration and the weights it calls for.
public struct TransformerParts: Sendable {
  /// For messages and statistics.
  public var name: String
  /// Shape and settings.
  public var configuration: TransformerConfiguration
  /// The blocks, first to last.
  public var layers: [LayerWeights]
  /// RMS norm before the output, [width]; empty where there is none.
  public var outputNorm: [Float]
  /// width → vocabulary, or ``outputTokens``.
  public var output: PackedWeights
  /// The tokens that `output` gives logits for, ascending; nil for the whole vocabulary.
  public var outputTokens: [Token]?
  /// Hidden states of tokens.
  public var embedding: any TokenEmbedding
  /// The tokenizer that belongs to the vocabulary.
  public var tokenizer: any TokenCodec
  /// What tells the weights from others of their shape; empty for parts that were made in memory.
  public var fingerprint = ""

  /// Parts that were made in memory.
  public init(
    name: String, configuration: TransformerConfiguration, layers: [LayerWeights],
    outputNorm: [Float], output: PackedWeights, embedding: any TokenEmbedding,
    tokenizer: any TokenCodec
  ) {
    self.name = name
    self.configuration = configuration
    self.layers = layers
    self.outputNorm = outputNorm
    self.output = output
    self.embedding = embedding
    self.tokenizer = tokenizer
  }

  /// The parts of a loaded model.
  public init(model: TransformerModel, tokenizer: any TokenCodec) {
    self.init(
      name: model.configuration.name, configuration: model.configuration, layers: model.layers,
      outputNorm: model.outputNorm, output: model.output, embedding: model.tokenEmbedding,
      tokenizer: tokenizer)
    fingerprint = model.fingerprint
  }

  /// Whether every weight is float32, so that nothing but float32 keys and values keeps up with
  /// them.
  var isAllFloat32: Bool {
    output.type == .f32 && layers.allSatisfy { $0.matrices.allSatisfy { $0.type == .f32 } }
  }

  /// Throws `.argument` naming the first weight whose shape is not what the configuration says.
  func validate() throws(EngineError) {
    let c = configuration
    guard c.width > 0, c.headDimensions > 0, c.kvHeads > 0, c.queryHeads % c.kvHeads == 0,
      c.queryHeads > 0, c.contextLength > 0, c.contextLength <= Int(Int32.max),
      c.vocabularySize > 0, c.feedForwardWidth > 0, layers.count == c.layers, c.layers > 0
    else {
      throw EngineError(.argument, "\(name): its configuration is inconsistent: \(c)")
    }
    for (index, layer) in layers.enumerated() {
      try check(layer.query, "query", index, c.queryWidth, c.width)
      try check(layer.key, "key", index, c.kvWidth, c.width)
      try check(layer.value, "value", index, c.kvWidth, c.width)
      try check(layer.attentionOutput, "attention output", index, c.width, c.queryWidth)
      try check(layer.gate, "gate", index, c.feedForwardWidth, c.width)
      try check(layer.up, "up", index, c.feedForwardWidth, c.width)
      try check(layer.down, "down", index, c.width, c.feedForwardWidth)
      if !layer.attentionNorm.isEmpty {
        try check(layer.attentionNorm, "attention norm", index, c.width)
      }
      try check(layer.feedForwardNorm, "feed-forward norm", index, c.width)
      try check(layer.queryBias, "query bias", index, c.queryWidth)
      try check(layer.keyBias, "key bias", index, c.kvWidth)
      try check(layer.valueBias, "value bias", index, c.kvWidth)
      try check(layer.queryNorm, "query norm", index, c.headDimensions)
      try check(layer.keyNorm, "key norm", index, c.headDimensions)
    }
    if let outputTokens {
      guard outputTokens.allSatisfy({ (0..<c.vocabularySize).contains(Int($0)) }),
        zip(outputTokens, outputTokens.dropFirst()).allSatisfy({ $0 < $1 }), !outputTokens.isEmpty
      else {
        throw EngineError(
          .argument,
          "\(name): the tokens of its output are not some of \(c.vocabularySize) in ascending order"
        )
      }
    }
    try check(output, "output", nil, outputTokens?.count ?? c.vocabularySize, c.width)
    if !outputNorm.isEmpty { try check(outputNorm, "output norm", nil, c.width) }
  }

  private func check(
    _ weights: PackedWeights, _ role: String, _ layer: Int?, _ outputs: Int, _ depth: Int
  ) throws(EngineError) {
    guard weights.outputs == outputs, weights.depth == depth else {
      throw EngineError(
        .argument,
        "\(name): the \(role) weights\(place(layer)) are \(weights.outputs) × \(weights.depth), "
          + "not \(outputs) × \(depth)")
    }
    guard PreparedActivations.supports(weights.activationType, depth: depth) else {
      throw EngineError(
        .argument,
        "\(name): the \(role) weights\(place(layer)) are \(weights.type.name), which needs a depth "
          + "that is a multiple of 32, not \(depth)")
    }
  }

  private func check(
    _ vector: [Float]?, _ role: String, _ layer: Int?, _ count: Int
  ) throws(EngineError) {
    guard vector == nil || vector?.count == count else {
      throw EngineError(
        .argument,
        "\(name): the \(role)\(place(layer)) has \(vector?.count ?? 0) values, not \(count)")
    }
  }

  private func place(_ layer: Int?) -> String { layer.map { " of layer \($0)" } ?? "" }
}

extension LayerWeights {
  /// The packed matrices in the order in which a forward pass reads them.
  var matrices: [PackedWeights] { [query, key, value, attentionOutput, gate, up, down] }
}
