extension TransformerBackend {
  /// Throws for a token that would see what is not there.
  func checkView(of token: BatchToken, in batch: ForwardBatch) throws(EngineError) {
    guard let own = token.view.last else { return }
    guard supportsTeams else {
      throw EngineError(
        .argument,
        "position \(token.position) sees other sequences, which \(name) cannot do with attention "
          + attentionMethod.name)
    }
    guard own.sequence == token.sequence, own.slots.upperBound == token.slot + 1, token.path.isEmpty
    else {
      throw EngineError(
        .argument,
        "what position \(token.position) of sequence \(token.sequence) sees ends elsewhere than with itself"
      )
    }
    for segment in token.view {
      guard batch.sequences.indices.contains(segment.sequence), !segment.slots.isEmpty,
        segment.slots.lowerBound >= 0,
        segment.slots.upperBound <= batch.sequences[segment.sequence].count * pageTokens
      else {
        throw EngineError(
          .argument,
          "position \(token.position) sees slots \(segment.slots) of sequence \(segment.sequence), which has "
            + "no pages for them")
      }
      guard (segment.slots.upperBound - 1..<contextLength).contains(segment.queryPosition) else {
        throw EngineError(
          .context,
          "position \(token.position) sees sequence \(segment.sequence) from \(segment.queryPosition), "
            + "outside the context of \(contextLength) tokens")
      }
    }
  }
}
