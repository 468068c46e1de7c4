import MartletKernels

extension AttentionMethod {
  /// Heavy hitters: the positions that were attended to most so far, and the recent ones; what neither
  /// holds is evicted and never comes back. Every key-value head has its own.
  ///
  /// Source: "H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models": a
  /// position's score is the sum of the attention weights that it was given, and the lowest leaves when
  /// the budget is full. Here weights are those of one query in 32, the last of each page of positions,
  /// since to sum those of all would cost a prompt's attention a second time; and positions leave when
  /// a page ends, not one by one, so that forks share what was decided and a text does not depend on how
  /// it was cut into passes. Evicted keys and values stay in their pages, which other heads, forks and
  /// truncated branches may need: reads are saved, not memory.
  public struct HeavyHitters: Sendable, Equatable {
    /// Positions kept by score.
    public var heavy: Int
    /// Positions before a token's page that it always attends to; up to a page more.
    public var recent: Int

    public init(heavy: Int, recent: Int) {
      self.heavy = heavy
      self.recent = recent
    }

    /// A budget of positions, half of it for either kind, as the source has it.
    public init(budget: Int) { self.init(heavy: budget / 2, recent: budget - budget / 2) }
  }

  /// Compression of a prompt by its tokens' importance: of every key-value head's positions a share is
  /// kept when the prompt ends; what is generated is kept in full.
  ///
  /// Source: CRITIC in "Scaling Test-Time Inference with Policy-Optimized, Dynamic Retrieval-Augmented
  /// Generation via KV Caching and Decoding": a position's importance mixes attention-based, entropy-based
  /// and gradient-based scores, first and recent positions are always kept, and caches are compressed from
  /// some length on. Here the scores come from the last queries of the prompt's last pages: the mean weight
  /// w that they give to the position, the mean of −w·ln w (its part of the entropy of attention) and the
  /// mean of w·‖v‖. The last stands for the gradient, which an engine without a backward pass has not:
  /// to first order it is how far the output moves when the position goes. Each score is divided by its
  /// largest. Weights of the three are ours; the source's abstract gives none.
  public struct Importance: Sendable, Equatable {
    /// The share of the prompt's positions that is kept.
    public var share: Double
    /// Prompts of fewer positions are kept whole.
    public var minimumPositions: Int
    /// Positions from the start and before the prompt's end that are kept whatever their score.
    public var sinks: Int
    public var recent: Int
    /// What the three scores count.
    public var attention: Double
    public var entropy: Double
    public var sensitivity: Double

    public init(
      share: Double, minimumPositions: Int = 1024, sinks: Int = 32, recent: Int = 256,
      attention: Double = 1, entropy: Double = 0.5, sensitivity: Double = 0.5
    ) {
      self.share = share
      self.minimumPositions = minimumPositions
      self.sinks = sinks
      self.recent = recent
      self.attention = attention
      self.entropy = entropy
      self.sensitivity = sensitivity
    }

    /// Pages at the prompt's end whose last queries are asked.
    static let observers = 8
  }
}

extension AttentionMethod.HeavyHitters {
  func validate(_ name: String) throws(EngineError) {
    guard heavy >= 1, recent >= 1 else {
      throw EngineError(
        .argument,
        "attention \(name): heavy hitters need 1 position by score and 1 recent one, or more")
    }
  }
}

extension AttentionMethod.Importance {
  func validate(_ name: String) throws(EngineError) {
    func require(_ isGood: Bool, _ what: String) throws(EngineError) {
      if !isGood { throw EngineError(.argument, "attention \(name): \(what)") }
    }
    try require(share > 0 && share <= 1, "the share that is kept lies above 0 and up to 1")
    try require(sinks >= 0 && recent >= 1, "it needs 1 recent position or more")
    try require(minimumPositions >= 32, "prompts of fewer than 32 positions have no full page")
    let parts = [attention, entropy, sensitivity]
    try require(
      parts.allSatisfy { $0 >= 0 && $0.isFinite } && parts.contains { $0 > 0 },
      "the three scores count 0 or more, and one of them more than 0")
  }
}
