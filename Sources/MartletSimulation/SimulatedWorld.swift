import MartletEngine

/// A source of token distributions: what a language model is, without the model.
///
/// A world must be a pure function: the same tokens give the same logits.
public protocol SimulatedWorld: Sendable {
  /// The tokenizer of its vocabulary.
  var codec: any TokenCodec { get }
  /// The logits after `tokens` (the whole sequence, prompt included), one per vocabulary entry.
  /// Log-probabilities serve; −∞ is impossible.
  func logits(after tokens: [Int32]) -> [Float]
}

/// A world given by a closure.
public struct ClosureWorld: SimulatedWorld {
  public let codec: any TokenCodec
  private let closure: @Sendable ([Int32]) -> [Float]

  /// A world whose logits are what `logits` returns for the sequence so far.
  public init(codec: any TokenCodec, logits: @escaping @Sendable ([Int32]) -> [Float]) {
    self.codec = codec
    closure = logits
  }

  public func logits(after tokens: [Int32]) -> [Float] { closure(tokens) }
}

/// A random language: every sequence has a distribution of its own, a hash of all its tokens and
/// their order. One wrong token anywhere in the past shows in what follows.
public struct HashedWorld: SimulatedWorld {
  public let codec: any TokenCodec
  /// Which language.
  public let seed: UInt64
  /// Standard scale of the logits: 0 is uniform, large is nearly certain.
  public let spread: Float
  /// Added to the logit of every end-of-generation token; −∞ for text without end.
  public let endBias: Float

  /// A random language over a codec's vocabulary.
  public init(
    codec: any TokenCodec = ByteCodec(), seed: UInt64 = 1, spread: Float = 3,
    endBias: Float = -.infinity
  ) {
    self.codec = codec
    self.seed = seed
    self.spread = spread
    self.endBias = endBias
  }

  public func logits(after tokens: [Int32]) -> [Float] {
    var state = seed
    for token in tokens {
      state = HashedWorld.mix(state ^ UInt64(bitPattern: Int64(token)) &* 0xA24B_AED4_963E_E407)
    }
    var row = (0..<codec.vocabularySize).map { id in
      let bits = HashedWorld.mix(state &+ UInt64(id))
      return spread * (Float(bits >> 40) * 0x1p-23 - 1)
    }
    for end in codec.endOfGenerationTokens { row[Int(end)] += endBias }
    return row
  }

  /// A bijection with good diffusion (the finaliser of SplitMix64).
  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
