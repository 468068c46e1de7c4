import MartletKernels

extension TransformerModel {
  /// The rows of the output matrix that belong to `tokens`, in their order, packed: what gives logits
  /// for these tokens alone.
  ///
  /// The rows are gathered from the model's file. Source: "FR-Spec: Accelerating Large-Vocabulary
  /// Language Models via Frequency-Ranked Speculative Sampling" (a draft model computes logits of
  /// frequent tokens alone).
  /// - Throws: `ModelError` `.argument` for no tokens or one outside the vocabulary, `.file` where the
  ///   file has changed since the model was opened, `.memory`. Linear in the rows' bytes.
  public func packedOutput(
    of tokens: [Token], team: (any ParallelFor)? = nil
  ) throws(ModelError) -> PackedWeights {
    let size = configuration.vocabularySize
    guard !tokens.isEmpty, tokens.allSatisfy({ (0..<size).contains(Int($0)) }) else {
      throw ModelError(
        .argument,
        "\(path): an output for \(tokens.count) tokens; name some of the vocabulary's \(size)")
    }
    let file = try GGUFFile(path: path)
    guard Fingerprint.of(file) == fingerprint else {
      throw ModelError(.file, "\(path) is not the file any more that the model was opened from")
    }
    let plan = try TensorPlan.make(file)
    guard let tensor = plan.model[.output] ?? plan.model[.tokenEmbedding] else {
      throw ModelError(.missing, "\(path) has no output matrix")
    }
    var rows: [UInt8] = []
    let rowBytes = tensor.byteCount / size
    rows.reserveCapacity(tokens.count * rowBytes)
    file.withTensorBytes(tensor) { bytes in
      for token in tokens { rows += bytes[Int(token) * rowBytes..<(Int(token) + 1) * rowBytes] }
    }
    try file.verifyUnchanged()
    let packed = rows.withUnsafeBytes { bytes in
      Result { () throws(KernelError) in
        try PackedWeights(
          type: output.type, numericClass: numericClass, outputs: tokens.count, depth: output.depth,
          source: bytes, team: team)
      }
    }
    do throws(KernelError) {
      return try packed.get()
    } catch {
      throw ModelError(.memory, "\(path): an output of \(tokens.count) tokens: \(error)")
    }
  }
}
