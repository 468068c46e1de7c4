import MartletModel

/// How the next token is chosen from the logits. The rules apply in the order of the properties
/// here: logit bias; repetition, presence and frequency penalties; temperature; top-nσ; top-k;
/// top-p; min-p; then the draw. A rule left at its default does nothing.
public struct SamplingOptions: Sendable, Equatable {
  /// Added to the logit of each token named. −∞ forbids a token.
  public var logitBias: [Token: Float] = [:]
  /// Divides positive and multiplies negative logits of tokens in the window; 1 is off.
  /// Source: "CTRL: A Conditional Transformer Language Model for Controllable Generation".
  public var repetitionPenalty: Float = 1
  /// Subtracted once from the logit of each token in the window; 0 is off.
  public var presencePenalty: Float = 0
  /// Subtracted from a token's logit once per occurrence in the window; 0 is off.
  public var frequencyPenalty: Float = 0
  /// How many of the last tokens (prompt included) the penalties look at.
  public var penaltyWindow: Int = 64
  /// Divides the logits; 0 takes the most likely token, the lowest id among equals.
  public var temperature: Float = 1
  /// Keeps tokens whose logit is at least max − n·σ, σ the standard deviation of all finite
  /// logits; the set does not depend on the temperature. nil is off.
  /// Source: "Top-nσ: Not All Logits Are You Need".
  public var topNSigma: Float?
  /// Keeps the k most likely tokens, lower ids first among equals; nil is off.
  public var topK: Int?
  /// Keeps the smallest set of most likely tokens that holds this much of the remaining
  /// probability. 1 is off. Source: "The Curious Case of Neural Text Degeneration".
  public var topP: Float = 1
  /// Keeps tokens at least this fraction as likely as the most likely one. 0 is off.
  /// Source: "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs".
  public var minP: Float = 0

  /// Plain sampling at temperature 1.
  public init() {}

  /// Always the most likely token.
  public static var greedy: SamplingOptions {
    var options = SamplingOptions()
    options.temperature = 0
    return options
  }
}
