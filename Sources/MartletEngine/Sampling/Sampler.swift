import Foundation
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
  /// Its log-probability in the distribution it was drawn from, after all rules, nats. Of a group,
  /// the first token alone has it, and under Mirostat all; the others have nil.
  public let keptLogprob: Float?
  /// How many tokens the rules left in the draw.
  public let kept: Int
  /// How far the model's second largest logit is below its largest; +∞ if there is no other.
  public let gap: Float
}

/// The randomness of one draw: a number in 0 ..< 1, and 64 more bits independent of it.
public struct SamplingNoise: Sendable, Equatable {
  /// In 0 ..< 1.
  public var uniform: Double
  /// Decides what `uniform` does not: XTC's coin and the key of Gumbel noise.
  public var bits: UInt64

  public init(uniform: Double, bits: UInt64 = 0) {
    self.uniform = uniform
    self.bits = bits
  }

  /// XTC's coin, in 0 ..< 1.
  var coin: Double { Double(bits >> 11) * 0x1p-53 }
  /// The key of Gumbel noise. The number's own bits take part, so that `bits` may be left at 0.
  var key: (UInt64, UInt64) { (uniform.bitPattern, bits) }
}

/// Chooses a token from a row of logits by ``SamplingOptions``.
///
/// The choice is a function of the arguments alone, on every CPU: weights are integers, sums are
/// exact, and equal logits rank by token id. Log-probability and entropy are within 2e-6 of their
/// exact values before they are rounded to `Float`. One kernel does all of it in two to four passes
/// over the row (`martlet/sampling.h`); nothing is sorted but what tail-free sampling looks at.
public struct Sampler: Sendable {
  /// The rules.
  public let options: SamplingOptions
  private var rules: SamplingRules
  private var scratch = SamplingScratch()

  /// A sampler with valid options (see ``SamplingOptions/validate(vocabularySize:)``) and guidance
  /// (``Guidance/validate()``); guided, it needs the second row, `guide`, at every choice.
  public init(options: SamplingOptions, guidance: Guidance?) {
    self.options = options
    rules = options.rules
    guard let guidance, guidance.isOn else { return }
    rules.divergenceScale = guidance.divergenceScale
    guard guidance.scale != 1 else { return }
    rules.ownWeight = guidance.scale
    rules.otherWeight = 1 - guidance.scale
    rules.plausibility = guidance.plausibility
  }

  /// A sampler without guidance.
  public init(options: SamplingOptions) { self.init(options: options, guidance: nil) }

  /// Whether a choice needs the second row of guidance.
  public var isGuided: Bool { rules.otherWeight != 0 || rules.divergenceScale > 0 }

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
    try sample(row, history: history, noise: SamplingNoise(uniform: uniform), allowed: allowed)
  }

  /// Draws one token as the options say.
  ///
  /// - Parameters:
  ///   - row: the model's logits; −∞ has no probability.
  ///   - history: the sequence so far, which penalties look back on.
  ///   - noise: what chance decides. The same noise over other logits is the counterfactual draw
  ///     where `draw` is ``SamplingOptions/Draw/gumbel``.
  ///   - generated: how many tokens of the sequence were drawn before, for `firstTemperature`.
  ///   - mirostatMu: Mirostat's state; it begins at ``SamplingOptions/mirostatStart``.
  ///   - allowed: the tokens that may be drawn; nil for all.
  ///   - guide: the second row of guidance.
  /// Throws ``EngineError/Code/logits`` for NaN, +∞ or no finite logit at all, and
  /// ``EngineError/Code/argument`` where the rules leave nothing or overflow.
  public mutating func sample(
    _ row: Span<Float>, history: ArraySlice<Token>, noise: SamplingNoise, generated: Int = 1,
    mirostatMu: Float? = nil, allowed: TokenMask? = nil, guide: Span<Float>? = nil
  ) throws(EngineError) -> SampledToken {
    prepare(history, noise, generated, mirostatMu, allowed)
    let draw: SamplingDraw =
      switch options.draw {
      case .gumbel, .withoutReplacement: .gumbel(key: noise.key, count: 1)
      case .inverse, .arithmetic: .inverse([noise.uniform])
      case .priority: .priority(count: 1)
      }
    let drawn = try Self.sound(
      Kernels.sample(
        row, rules: rules, draw: draw, other: guide, divergenceRow: guide,
        scratch: &scratch))
    return token(drawn, drawn.tokens[0], row)
  }

  /// Draws tokens for `count` siblings that continue one sequence.
  ///
  /// With ``SamplingOptions/Draw/arithmetic`` the siblings' numbers are spread evenly over 0 ..< 1
  /// from one random start: each follows the distribution, together they cover it (source:
  /// "Arithmetic Sampling: Parallel Diverse Decoding for Large Language Models"). With
  /// ``SamplingOptions/Draw/withoutReplacement`` the tokens are distinct, the first of them an
  /// ordinary draw (source: "Stochastic Beams and Where to Find Them"); with
  /// ``SamplingOptions/Draw/priority`` they are the most likely in order (source: "Priority Sampling
  /// of Large Language Models for Compilers"). Of both there are fewer than `count` where fewer are
  /// kept. Otherwise each sibling has noise of its own, derived from `noise`.
  ///
  /// One pass over the row serves all of them. Throws as
  /// ``sample(_:history:noise:generated:mirostatMu:allowed:guide:)``.
  public mutating func sampleGroup(
    _ row: Span<Float>, history: ArraySlice<Token>, count: Int, noise: SamplingNoise,
    generated: Int = 1, mirostatMu: Float? = nil, allowed: TokenMask? = nil,
    guide: Span<Float>? = nil
  ) throws(EngineError) -> [SampledToken] {
    guard count > 0 else { return [] }
    prepare(history, noise, generated, mirostatMu, allowed)
    let draw: SamplingDraw
    switch options.draw {
    case .arithmetic:
      draw = .inverse(
        (0..<count).map { sibling in
          let shifted = noise.uniform + Double(sibling) / Double(count)
          return min(shifted >= 1 ? shifted - 1 : shifted, 1 - 0x1p-53)
        })
    case .withoutReplacement: draw = .gumbel(key: noise.key, count: count)
    case .priority: draw = .priority(count: count)
    case .inverse:
      draw = .inverse(
        (0..<count).map { sibling in
          if sibling == 0 { return noise.uniform }
          let words = siblingWords(noise, sibling)
          return Double((UInt64(words.0) | UInt64(words.1) << 32) >> 11) * 0x1p-53
        })
    case .gumbel:
      var tokens: [SampledToken] = []
      for sibling in 0..<count {
        let words = siblingWords(noise, sibling)
        let key = (
          UInt64(words.0) | UInt64(words.1) << 32, UInt64(words.2) | UInt64(words.3) << 32
        )
        let drawn = try Self.sound(
          Kernels.sample(
            row, rules: rules, draw: .gumbel(key: sibling == 0 ? noise.key : key, count: 1),
            other: guide, divergenceRow: guide, scratch: &scratch))
        tokens.append(token(drawn, drawn.tokens[0], row))
      }
      return tokens
    }
    let drawn = try Self.sound(
      Kernels.sample(
        row, rules: rules, draw: draw, other: guide, divergenceRow: guide,
        scratch: &scratch))
    // Mirostat asks how surprising every one of them was.
    let law =
      options.mirostatTau == nil || count == 1
      ? []
      : Kernels.distribution(
        row, rules: rules, other: guide, divergenceRow: guide, scratch: &scratch)
    return drawn.tokens.enumerated().map { index, chosen in
      token(
        drawn, chosen, row, keptLogprob: index > 0 && !law.isEmpty ? log(law[chosen]) : nil)
    }
  }

  /// The distribution that tokens are drawn from: one probability per token, 0 where it is out.
  ///
  /// Arguments and errors as of ``sample(_:history:noise:generated:mirostatMu:allowed:guide:)``.
  public mutating func distribution(
    _ row: Span<Float>, history: ArraySlice<Token>, noise: SamplingNoise = .init(uniform: 0),
    generated: Int = 1, mirostatMu: Float? = nil, allowed: TokenMask? = nil,
    guide: Span<Float>? = nil
  ) throws(EngineError) -> [Float] {
    prepare(history, noise, generated, mirostatMu, allowed)
    let probabilities = Kernels.distribution(
      row, rules: rules, other: guide, divergenceRow: guide, scratch: &scratch)
    if probabilities.isEmpty {
      _ = try Self.sound(
        Kernels.sample(
          row, rules: rules, draw: .inverse([0]), other: guide,
          divergenceRow: guide, scratch: &scratch))
    }
    return probabilities
  }

  /// What a row itself says, without any rule.
  mutating func own(_ row: Span<Float>) -> SampledRow {
    var plain = SamplingRules()
    plain.temperature = 0
    return Kernels.sample(row, rules: plain, draw: .inverse([0]), scratch: &scratch)
  }

  /// Where Mirostat's state goes from `mu` when a token of this log-probability after all rules is
  /// drawn.
  func mirostat(after keptLogprob: Float, from mu: Float) -> Float {
    mu - options.mirostatRate * (-keptLogprob / Float(0.693_147_18) - (options.mirostatTau ?? 0))
  }

  /// What changes from token to token.
  private mutating func prepare(
    _ history: ArraySlice<Token>, _ noise: SamplingNoise, _ generated: Int, _ mirostatMu: Float?,
    _ allowed: TokenMask?
  ) {
    rules.temperature =
      generated == 0 && options.temperature > 0
      ? options.firstTemperature ?? options.temperature : options.temperature
    rules.xtcUniform = noise.coin
    rules.mirostatMu = mirostatMu ?? options.mirostatStart
    rules.allowed = allowed?.halves ?? []
    if options.penalises || options.dryMultiplier > 0 { rules.penalties = penalties(history) }
  }

  private func penalties(_ history: ArraySlice<Token>) -> [SamplingRules.Penalty] {
    var penalties: [SamplingRules.Penalty] = []
    var places: [Token: Int] = [:]
    if options.penalises {
      for token in history.suffix(options.penaltyWindow) {
        if let place = places[token] {
          penalties[place].count += 1
        } else {
          places[token] = penalties.count
          penalties.append(.init(token: UInt32(token), count: 1))
        }
      }
    }
    if options.dryMultiplier > 0 {
      let dry = Kernels.dryPenalties(
        history.suffix(options.dryWindow).map { UInt32($0) }, multiplier: options.dryMultiplier,
        base: options.dryBase, allowed: options.dryAllowedLength,
        breakers: options.dryBreakers.map { UInt32($0) })
      for penalty in dry {
        if let place = places[Token(penalty.token)] {
          penalties[place].subtracted = penalty.subtracted
        } else {
          penalties.append(penalty)
        }
      }
    }
    return penalties
  }

  private func siblingWords(
    _ noise: SamplingNoise, _ sibling: Int
  ) -> (UInt32, UInt32, UInt32, UInt32) {
    let a = noise.uniform.bitPattern
    return Philox4x32.words(
      counter: (
        UInt32(truncatingIfNeeded: a), UInt32(truncatingIfNeeded: a >> 32),
        UInt32(truncatingIfNeeded: sibling), 0x7369_626c
      ),
      key: (
        UInt32(truncatingIfNeeded: noise.bits), UInt32(truncatingIfNeeded: noise.bits >> 32)
      ))
  }

  /// Static: a call on `self` would hold a copy of it, and so of its scratch memory, during the draw.
  private static func sound(_ drawn: SampledRow) throws(EngineError) -> SampledRow {
    switch drawn.outcome {
    case .sound: return drawn
    case .unsound:
      throw EngineError(
        .logits,
        "the logits hold NaN, +infinity or no finite value at all; the model file may be damaged: "
          + "compare its checksum, or fetch or convert it again")
    case .forbidden:
      throw EngineError(
        .argument,
        "logit biases, suppressed tokens and masks forbid every token the model allows; allow at "
          + "least one")
    case .overflowed:
      throw EngineError(
        .argument, "logit biases or penalties take logits beyond the range of float32; use smaller")
    }
  }

  private func token(
    _ drawn: SampledRow, _ token: Int, _ row: Span<Float>, keptLogprob: Float? = nil
  ) -> SampledToken {
    SampledToken(
      token: Token(token), logprob: Float(Double(row[token]) - drawn.maximum - drawn.logSum),
      entropy: Float(drawn.entropy),
      keptLogprob: token == drawn.tokens[0] ? Float(drawn.keptLogprob) : keptLogprob,
      kept: drawn.kept,
      gap: Float(drawn.gap))
  }
}
