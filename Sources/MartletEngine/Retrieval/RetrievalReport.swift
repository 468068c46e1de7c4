/// What an index of a long prompt is like.
public struct RetrievalReport: Sendable, Equatable {
  /// Positions it was learned from.
  public let positions: Int
  /// Tokens at fewer positions attend to everything.
  public let from: Int
  /// Seconds that learning and coding the prompt took, once.
  public let buildSeconds: Double
  /// Of these: fitting codebooks, and trying how many positions each head needs.
  public let fitSeconds: Double
  public let settleSeconds: Double
  /// Positions that each layer's key-value heads find per query, all heads of a layer in a row; nil for
  /// exact attention.
  public let wanted: [Int?]
  /// The mean relative error of attention outputs that it was settled with; nil where it was not tried.
  public let error: Double?
  /// Bytes of codes per position, all layers and heads.
  public let bytesPerPosition: Int
}

extension TransformerBackend {
  /// The index that was learned last; nil where none was.
  public var retrievalReport: RetrievalReport? {
    guard let retrieval, let (index, times) = retrieval.lastLearned else { return nil }
    return RetrievalReport(
      positions: index.positions, from: retrieval.minimum, buildSeconds: times.all,
      fitSeconds: times.fit,
      settleSeconds: times.settle, wanted: index.wanted, error: index.error,
      bytesPerPosition: retrieval.bytesPerPage / pageTokens)
  }

  /// Keys of one position: layers × key-value heads.
  public var keysPerPosition: Int { slab.layers * slab.kvHeads }
}
