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
/// The choice is a function of the arguments alone: all arithmetic is IEEE double precision in a
/// fixed order, and equal logits rank by token id. O(vocabulary) on average; nothing is sorted.
public struct Sampler: Sendable {
  /// The rules.
  public let options: SamplingOptions
  private var logits: [Float] = []
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
  /// Throws ``EngineError/Code/logits`` for NaN, +∞ or no finite logit at all.
  public mutating func sample(
    _ row: Span<Float>, history: ArraySlice<Token>, uniform: Double
  ) throws(EngineError) -> SampledToken {
    let shape = try DistributionShape(row)
    let token: Token
    if options.temperature == 0 && !adjusts {
      token = shape.mostLikely
    } else {
      adjust(row, history)
      token = try choose(uniform)
    }
    return SampledToken(
      token: token, logprob: Float(Double(row[Int(token)]) - shape.maximum - shape.logSum),
      entropy: Float(shape.entropy))
  }

  private var penalises: Bool {
    options.repetitionPenalty != 1 || options.presencePenalty != 0 || options.frequencyPenalty != 0
  }

  private var adjusts: Bool { penalises || !options.logitBias.isEmpty }

  private mutating func adjust(_ row: Span<Float>, _ history: ArraySlice<Token>) {
    if logits.count != row.count { logits = [Float](repeating: 0, count: row.count) }
    for i in 0..<row.count { logits[i] = row[i] }
    for (token, bias) in options.logitBias { logits[Int(token)] += bias }
    guard penalises else { return }
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

  private mutating func choose(_ uniform: Double) throws(EngineError) -> Token {
    guard let maximum = logits.max(), maximum > -.infinity else {
      throw EngineError(
        .argument, "logit biases forbid every token the model allows; allow at least one")
    }
    if options.temperature == 0 { return Token(logits.firstIndex(of: maximum)!) }
    var floor = -Float.infinity
    if let n = options.topNSigma { floor = sigmaFloor(Double(maximum), Double(n)) }
    kept.gather(logits, atLeast: floor)
    if let k = options.topK { kept.keepMostLikely(k) }
    kept.weigh(maximum: Double(maximum), temperature: Double(options.temperature))
    if options.topP < 1 { kept.keepMass(Double(options.topP)) }
    if options.minP > 0 { kept.keepWeight(atLeast: Double(options.minP)) }
    return kept.draw(uniform)
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

/// Maximum, log-sum-exp and entropy of a row: two passes.
struct DistributionShape {
  let mostLikely: Token
  let maximum: Double
  /// log Σ exp(l − maximum).
  let logSum: Double
  let entropy: Double

  init(_ row: Span<Float>) throws(EngineError) {
    var best = -Float.infinity
    var index = -1
    var clean = true
    for i in 0..<row.count {
      let value = row[i]
      clean = clean && value < .infinity  // False for NaN too.
      if value > best {
        best = value
        index = i
      }
    }
    guard clean, index >= 0 else {
      throw EngineError(
        .logits,
        "the logits hold NaN, +infinity or no finite value at all; the model file may be damaged: "
          + "compare its checksum, or fetch or convert it again")
    }
    let maximum = Double(best)
    var sums = SIMD4<Double>.zero
    var weighted = SIMD4<Double>.zero
    func add(_ a: Float, _ b: Float, _ c: Float, _ d: Float) {
      let x = SIMD4(Double(a), Double(b), Double(c), Double(d)) - maximum
      let e = PortableMath.exp(x)
      sums += e
      weighted += x.replacing(with: 0, where: x .< -708) * e
    }
    let none = -Float.infinity
    let whole = row.count & ~3
    for i in stride(from: 0, to: whole, by: 4) { add(row[i], row[i + 1], row[i + 2], row[i + 3]) }
    switch row.count - whole {
    case 1: add(row[whole], none, none, none)
    case 2: add(row[whole], row[whole + 1], none, none)
    case 3: add(row[whole], row[whole + 1], row[whole + 2], none)
    default: break
    }
    let sum = (sums[0] + sums[2]) + (sums[1] + sums[3])
    let moment = (weighted[0] + weighted[2]) + (weighted[1] + weighted[3])
    mostLikely = Token(index)
    self.maximum = maximum
    logSum = PortableMath.log(sum)
    entropy = max(0, logSum - moment / sum)
  }
}
