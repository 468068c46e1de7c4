import MartletKernels
import MartletModel

/// A part of a model as a model of its own: what drafts for the whole without weights of its own.
extension TransformerBackend {
  /// The model without the layers that are not named, over the same pages.
  ///
  /// A position stored by the whole model serves the part, layer by layer, as it is; a position
  /// stored by the part is good for the part alone, and is overwritten when the whole model processes
  /// it. It shares threads and scratch memory with the whole, so that only one of them may run at a
  /// time. Source: "Draft & Verify: Lossless Large Language Model Acceleration via Self-Speculative
  /// Decoding"; with the first layers alone "LayerSkip" (early exit).
  ///
  /// - Parameters:
  ///   - layers: indices in ascending order, at least one.
  ///   - output: weights in place of the model's output, and the tokens that they give logits for,
  ///     ascending (``TransformerModel/packedOutput(of:team:)``).
  /// - Throws: `EngineError` `.argument` for layers that do not exist or are out of order, and for an
  ///   output of another shape or type.
  public func part(
    layers: [Int], output: (weights: PackedWeights, tokens: [Token])? = nil
  ) throws(EngineError) -> TransformerBackend {
    guard !layers.isEmpty, layers.allSatisfy(parts.layers.indices.contains),
      zip(layers, layers.dropFirst()).allSatisfy({ $0 < $1 })
    else {
      throw EngineError(
        .argument,
        "\(name) has layers 0 to \(parts.layers.count - 1); a part of it names some of them in "
          + "ascending order, not \(layers)")
    }
    guard pruning == nil else {
      throw EngineError(
        .argument,
        "\(name) attends as \(attentionMethod.name): its layers do not hold the same positions, so that a "
          + "part of them is no model; draft in another way or attend to everything")
    }
    guard
      output?.weights.activationType ?? parts.output.activationType
        == parts.output.activationType
    else {
      throw EngineError(
        .argument, "\(name) prepares activations for an output of \(parts.output.type.name) alone")
    }
    let part = TransformerBackend(self, layers: layers, output: output)
    try part.parts.validate()
    return part
  }

  /// Tokens that it takes, which may be more than it gives logits for.
  public var knownTokens: Int { parts.configuration.vocabularySize }

  /// The tokens that its logits are for; nil for all that it takes.
  public var outputTokens: [Token]? { parts.outputTokens }

  func sharesPages(with other: TransformerBackend) -> Bool { slab === other.slab }

  /// Layers of the whole model that it computes.
  public var layers: [Int] { slabLayers }

  /// Bytes of weights that one pass reads.
  public var weightBytes: Int {
    parts.layers.reduce(parts.output.byteCount) { sum, layer in
      layer.matrices.reduce(sum) { $0 + $1.byteCount }
    }
  }
}
