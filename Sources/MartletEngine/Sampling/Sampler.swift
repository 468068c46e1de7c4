import MartletKernels
import MartletModel

/// A drawn token with what the model's own distribution says about it.
public struct SampledToken: Sendable, Equatable {
  /// The token id.
  public let token: Token
  /// Its log-probability in the model's own distribution (no bias, penalty, temperature or
  /// truncation), nats.
  public let logprob: Float
  /// Entropy of the model's own distribution, nats.
  public let entropy: Float
}

/// Chooses a token from a row of logits by ``SamplingOptions``, given one uniform number.
///
/// The choice is a function of the arguments alone, on every CPU: weights are float32 exponentials
/// and sums run in a fixed order, float32 within blocks of 256 tokens and double precision across
/// them; equal logits rank by token id. Log-probability and entropy are within 2e-6 of their exact
/// values before they are rounded to `Float`. O(vocabulary) on average; nothing is sorted.
public struct Sampler: Sendable {
  /// The rules.
  public let options: SamplingOptions
  private var logits: [Float] = []
  private var scratch: [Float] = []
  private var kept = CandidateSet()

  /// A sampler with valid options (see ``SamplingOptions/validate(vocabularySize:)``).
  public init(options: SamplingOptions) {
    self.options = options
  }

  /// Draws one token by inverse CDF over the kept tokens in order of id.
  ///
  /// - Parameters:
  ///   - row: the model's logits; −∞ has no probability.
  ///   - history: the sequence so far; the penalties look at its last `penaltyWindow` tokens.
  ///   - uniform: in 0 ..< 1.
  ///   - allowed: the tokens that a constraint allows; nil for all. The others have no probability,
  ///     as if their logits were −∞ after biases and penalties; `logprob` and `entropy` are still
  ///     those of the model's own distribution over all tokens.
  /// Throws ``EngineError/Code/logits`` for NaN, +∞ or no finite logit at all.
  public mutating func sample(
    _ row: Span<Float>, history: ArraySlice<Token>, uniform: Double, allowed: TokenMask? = nil
  ) throws(EngineError) -> SampledToken {
    let adjusts = adjusts || allowed != nil
    let isPlain = !adjusts && !truncates
    let shape = Kernels.draw(
      row, temperature: isPlain ? options.temperature : 0, uniform: uniform, scratch: &scratch)
    guard shape.isClean else {
      throw EngineError(
        .logits,
        "the logits hold NaN, +infinity or no finite value at all; the model file may be damaged: "
          + "compare its checksum, or fetch or convert it again")
    }
    var token = shape.drawn
    if !isPlain {
      Kernels.copy(row, into: &logits)
      let adjusted = try adjusts ? adjust(history, uniform, allowed) : shape
      token = truncates ? choose(Float(adjusted.maximum), uniform) : adjusted.drawn
    }
    return SampledToken(
      token: Token(token), logprob: Float(Double(row[token]) - shape.maximum - shape.logSum),
      entropy: Float(shape.entropy))
  }

  private var penalises: Bool {
    options.repetitionPenalty != 1 || options.presencePenalty != 0 || options.frequencyPenalty != 0
  }

  private var adjusts: Bool { penalises || !options.logitBias.isEmpty }

  /// Whether tokens are cut before the draw. Cuts keep the most likely token, so that greedy
  /// choices need none.
  private var truncates: Bool {
    options.temperature > 0
      && (options.topK != nil || options.topP < 1 || options.minP > 0 || options.topNSigma != nil)
  }

  /// Applies biases, penalties and the constraint to `logits`; returns their shape and a draw from all of them.
  private mutating func adjust(
    _ history: ArraySlice<Token>, _ uniform: Double, _ allowed: TokenMask?
  ) throws(EngineError) -> LogitsShape {
    for (token, bias) in options.logitBias { logits[Int(token)] += bias }
    if penalises { penalise(history) }
    allowed?.apply(&logits)
    let row = logits
    let shape = Kernels.draw(
      row.span, temperature: options.temperature, uniform: uniform, scratch: &scratch)
    guard shape.maximum > -.infinity else {
      let what = allowed == nil ? "logit biases forbid" : "the constraint and logit biases forbid"
      throw EngineError(
        .argument, "\(what) every token the model allows; allow at least one")
    }
    guard shape.isClean else {
      throw EngineError(
        .argument, "logit biases or penalties take logits beyond the range of float32; use smaller")
    }
    return shape
  }

  private mutating func penalise(_ history: ArraySlice<Token>) {
    var counts: [Token: Int] = [:]
    for token in history.suffix(options.penaltyWindow) { counts[token, default: 0] += 1 }
    for (token, count) in counts {
      var value = logits[Int(token)]
      value =
        value > 0 ? value / options.repetitionPenalty : value * options.repetitionPenalty
      value -= options.presencePenalty
      value -= options.frequencyPenalty * Float(count)
      logits[Int(token)] = value
    }
  }

  /// Cuts `logits`, whose largest is `maximum`, by the rules and draws from what is left.
  private mutating func choose(_ maximum: Float, _ uniform: Double) -> Int {
    var floor = -Float.infinity
    if let n = options.topNSigma { floor = sigmaFloor(Double(maximum), Double(n)) }
    kept.gather(logits, atLeast: floor)
    if let k = options.topK { kept.keepMostLikely(k) }
    kept.weigh(maximum: maximum, temperature: options.temperature)
    if options.topP < 1 { kept.keepMass(Double(options.topP)) }
    if options.minP > 0 { kept.keepWeight(atLeast: options.minP) }
    return Int(kept.draw(uniform))
  }

  /// max − n·σ over the finite logits. Scaling by a temperature scales both sides alike.
  private func sigmaFloor(_ maximum: Double, _ n: Double) -> Float {
    var sum = 0.0
    var squares = 0.0
    var count = 0.0
    for value in logits where value > -.infinity {
      let below = Double(value) - maximum
      sum += below
      squares += below * below
      count += 1
    }
    let mean = sum / count
    let sigma = max(0, squares / count - mean * mean).squareRoot()
    let exact = maximum - n * sigma
    // Rounded down, so that a logit equal to the exact threshold stays.
    let rounded = Float(exact)
    return Double(rounded) > exact ? rounded.nextDown : rounded
  }
}
