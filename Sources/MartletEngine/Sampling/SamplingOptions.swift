import MartletKernels
import MartletModel

/// How the next token is chosen from the logits. The rules apply in the order of the properties
/// here: logit bias; penalties; suppressed tokens; temperature; top-nσ; top-k; top-p; min-p;
/// typical; epsilon; eta; tail-free; top-a; XTC; Mirostat; then the draw. Each sees what those
/// before it left, renormalised. A rule left at its default does nothing. Sources and exact meaning
/// are in `martlet/sampling.h`.
public struct SamplingOptions: Sendable, Equatable, Codable {
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
  /// DRY: what continuing a repetition of the last n ≥ `dryAllowedLength` tokens costs a token's
  /// logit is this · `dryBase`^(n − `dryAllowedLength`). 0 is off.
  public var dryMultiplier: Float = 0
  public var dryBase: Float = 1.75
  public var dryAllowedLength: Int = 2
  /// How many of the last tokens (prompt included) DRY looks at.
  public var dryWindow: Int = 4096
  /// Tokens that no repetition crosses, such as line breaks.
  public var dryBreakers: [Token] = []
  /// Tokens that are never drawn, such as those that open reflection.
  /// Source: "Wait, We Don't Need to 'Wait'! Removing Thinking Tokens Improves Reasoning
  /// Efficiency".
  public var suppressed: [Token] = []
  /// Divides the logits; 0 takes the most likely token, the lowest id among equals.
  public var temperature: Float = 1
  /// The temperature of the first token of a sequence, where it is not that of the others; nil is
  /// off. Source: "Flaming-hot Initiation with Regular Execution Sampling for Large Language
  /// Models".
  public var firstTemperature: Float?
  /// Dynamic temperature: from `temperature` − range at entropy 0 to `temperature` + range at the
  /// highest entropy there is, along its share^exponent. 0 is off.
  public var dynamicRange: Float = 0
  public var dynamicExponent: Float = 1
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
  /// Keeps those whose surprisal is nearest the entropy and that hold this much; 1 is off.
  /// Source: "Locally Typical Sampling".
  public var typical: Float = 1
  /// Keeps probabilities of at least this; 0 is off.
  public var epsilon: Float = 0
  /// Keeps probabilities of at least min(eta, √eta · exp(−entropy)); 0 is off.
  /// Source of both: "Truncation Sampling as Language Model Desmoothing".
  public var eta: Float = 0
  /// Keeps ranks until the curvature of the probabilities adds up to this share; 1 is off. The one
  /// rule that sorts what is left to it: put a top-k before it.
  public var tailFree: Float = 1
  /// Keeps probabilities of at least this times the square of the largest; 0 is off.
  public var topA: Float = 0
  /// With this probability, removes all tokens of at least `xtcThreshold` but the last; 0 is off.
  public var xtcProbability: Float = 0
  public var xtcThreshold: Float = 0.1
  /// Mirostat v2: the surprisal to hold, bits per token; nil is off.
  /// Source: "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity".
  public var mirostatTau: Float?
  public var mirostatRate: Float = 0.1
  /// How chance chooses.
  public var draw: Draw = .inverse

  /// How tokens are drawn. Alone, `arithmetic` is `inverse`, `without-replacement` is `gumbel` and
  /// `priority` takes the most likely token; what they add shows at the first token that siblings
  /// choose after ``Branch/fork(_:)``, which they draw together
  /// (``Sampler/sampleGroup(_:history:count:noise:generated:mirostatMu:allowed:guide:)``).
  public enum Draw: String, Sendable, CaseIterable, Codable {
    /// By one number along the cumulative distribution in order of id.
    case inverse
    /// The largest of log-probability plus Gumbel noise.
    case gumbel
    /// Numbers spread evenly over siblings.
    case arithmetic
    /// Siblings get distinct tokens.
    case withoutReplacement = "without-replacement"
    /// Siblings get the most likely tokens in order, without chance.
    case priority
  }

  /// Plain sampling at temperature 1.
  public init() {}

  /// Always the most likely token.
  public static var greedy: SamplingOptions {
    var options = SamplingOptions()
    options.temperature = 0
    return options
  }

  /// Mirostat's state before the first token.
  public var mirostatStart: Float { 2 * (mirostatTau ?? 0) }

  var penalises: Bool {
    repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0
  }

  /// What of this does not change from token to token.
  var rules: SamplingRules {
    var rules = SamplingRules()
    rules.temperature = temperature
    rules.dynamicRange = dynamicRange
    rules.dynamicExponent = dynamicExponent
    rules.topNSigma = topNSigma ?? .infinity
    rules.topK = topK ?? 0
    rules.topP = topP
    rules.minP = minP
    rules.typical = typical
    rules.epsilon = epsilon
    rules.eta = eta
    rules.tailFree = tailFree
    rules.topA = topA
    rules.xtcProbability = xtcProbability
    rules.xtcThreshold = xtcThreshold
    rules.mirostatTau = mirostatTau ?? 0
    rules.mirostatRate = mirostatRate
    rules.repetition = repetitionPenalty
    rules.presence = presencePenalty
    rules.frequency = frequencyPenalty
    rules.biases = logitBias.sorted { $0.key < $1.key }.map { (UInt32($0.key), $0.value) }
    rules.suppressed = suppressed.map { UInt32($0) }
    return rules
  }
}
