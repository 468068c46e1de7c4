import MartletKernels
import MartletModel

/// What to read of the distribution of the token that would come next.
public struct NextTokenQuery: Sendable, Equatable {
  /// How many of the most likely tokens.
  public var top: Int
  /// Tokens whose log-probabilities are wanted, in this order.
  public var tokens: [Token]

  /// Reads the `top` most likely tokens and the log-probabilities of `tokens`.
  public init(top: Int = 0, tokens: [Token] = []) {
    self.top = top
    self.tokens = tokens
  }

  /// Throws ``EngineError/Code/argument`` naming the value at fault.
  func validate(vocabularySize: Int) throws(EngineError) {
    guard (0...vocabularySize).contains(top) else {
      throw EngineError(
        .argument, "the \(top) most likely tokens of \(vocabularySize) cannot be read")
    }
    guard let bad = tokens.first(where: { $0 < 0 || Int($0) >= vocabularySize }) else { return }
    throw EngineError(
      .argument, "token \(bad) is outside the vocabulary of \(vocabularySize)")
  }

  /// Reads a row of logits. Two to four passes over it.
  func answer(_ row: Span<Float>) throws(EngineError) -> NextToken {
    var scratch = SamplingScratch()
    let read = Kernels.sample(
      row, rules: SamplingRules(), draw: .priority(count: max(1, top)), scratch: &scratch)
    guard read.outcome == .sound else {
      throw EngineError(
        .logits,
        "the logits hold NaN, +infinity or no finite value at all; the model file may be "
          + "damaged")
    }
    let total = read.maximum + read.logSum
    var choices: [NextToken.Choice] = []
    for token in read.tokens.prefix(top) {
      choices.append(.init(token: Token(token), logprob: Float(Double(row[token]) - total)))
    }
    var logprobs: [Float] = []
    for token in tokens { logprobs.append(Float(Double(row[Int(token)]) - total)) }
    return NextToken(
      entropy: Float(read.entropy), gap: Float(read.gap), top: choices, logprobs: logprobs)
  }
}

/// What the model thinks comes next: no bias, penalty, temperature, truncation or constraint.
public struct NextToken: Sendable, Equatable {
  /// A token that may come.
  public struct Choice: Sendable, Equatable {
    /// Its id.
    public let token: Token
    /// Its log-probability, nats.
    public let logprob: Float
  }

  /// Of the whole distribution, nats.
  public let entropy: Float
  /// How far the second largest logit is below the largest; +∞ if there is no other.
  public let gap: Float
  /// The most likely tokens, the likeliest first, ties by id; fewer than asked for where the others
  /// have no probability.
  public let top: [Choice]
  /// Log-probabilities of the tokens that were asked about, nats; −∞ where there is none.
  public let logprobs: [Float]
}
