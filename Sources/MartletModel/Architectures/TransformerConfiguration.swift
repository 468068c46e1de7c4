import MartletKernels

/// Everything about a decoder-only transformer that is not a weight: what an architecture page
/// makes of a file's metadata.
public struct TransformerConfiguration: Sendable, Equatable {
  /// The feed-forward gate's nonlinearity.
  public enum Activation: String, Sendable { case silu, gelu }

  /// The architecture's id, e.g. `llama`.
  public var architecture: String
  /// The model's name as its file gives it, or the architecture's id.
  public var name: String
  /// Tokens in the vocabulary: rows of the embedding table.
  public var vocabularySize: Int
  /// Tokens of context the model was made for.
  public var contextLength: Int
  /// Elements of a token's hidden state.
  public var width: Int
  /// Transformer blocks.
  public var layers: Int
  /// Attention heads of queries.
  public var queryHeads: Int
  /// Attention heads of keys and values; divides `queryHeads`.
  public var kvHeads: Int
  /// Elements per head, of queries, keys and values alike.
  public var headDimensions: Int
  /// Elements of the feed-forward layer's hidden state.
  public var feedForwardWidth: Int
  /// Added to the mean square in RMS norm.
  public var normEpsilon: Float
  /// Rotary embedding.
  public var rope: RopeConfiguration
  /// Multiplies attention scores before softmax.
  public var attentionScale: Float
  /// A token sees this many positions, itself included; nil for all of them.
  public var slidingWindow: Int?
  /// Whether queries, keys and values have biases.
  public var hasAttentionBiases: Bool
  /// Whether queries and keys are RMS-normalised per head before rotation.
  public var hasQKNorms: Bool
  /// The feed-forward nonlinearity.
  public var activation: Activation
  /// Whether logits are computed with the embedding table.
  public var tiedOutput: Bool

  /// A configuration from its parts.
  public init(
    architecture: String, name: String, vocabularySize: Int, contextLength: Int, width: Int,
    layers: Int, queryHeads: Int, kvHeads: Int, headDimensions: Int, feedForwardWidth: Int,
    normEpsilon: Float, rope: RopeConfiguration, attentionScale: Float,
    slidingWindow: Int? = nil, hasAttentionBiases: Bool = false, hasQKNorms: Bool = false,
    activation: Activation = .silu, tiedOutput: Bool = false
  ) {
    self.architecture = architecture
    self.name = name
    self.vocabularySize = vocabularySize
    self.contextLength = contextLength
    self.width = width
    self.layers = layers
    self.queryHeads = queryHeads
    self.kvHeads = kvHeads
    self.headDimensions = headDimensions
    self.feedForwardWidth = feedForwardWidth
    self.normEpsilon = normEpsilon
    self.rope = rope
    self.attentionScale = attentionScale
    self.slidingWindow = slidingWindow
    self.hasAttentionBiases = hasAttentionBiases
    self.hasQKNorms = hasQKNorms
    self.activation = activation
    self.tiedOutput = tiedOutput
  }

  /// Elements of all query heads of a token.
  public var queryWidth: Int { queryHeads * headDimensions }
  /// Elements of all key heads (or all value heads) of a token.
  public var kvWidth: Int { kvHeads * headDimensions }
}
