import Foundation
import MartletKernels
import MartletModel

/// The likeliest tokens of a row of logits, as guesses.
struct GuessScratch {
  private var scratch = SamplingScratch()

  /// The token drawn and the likeliest others, at most `count`, with their probabilities in the row
  /// itself. None for a row without a finite logit.
  mutating func choices(
    _ row: Span<Float>, drawn: Token?, count: Int
  ) -> [(token: Token, probability: Float)] {
    var rules = SamplingRules()
    rules.temperature = 0
    let sampled = Kernels.sample(
      row, rules: rules, draw: .inverse([0]), alternatives: count + 1, scratch: &scratch)
    guard sampled.outcome == .sound else { return [] }
    func probability(_ token: Int) -> Float {
      Float(exp(Double(row[token]) - sampled.maximum - sampled.logSum))
    }
    var choices: [(token: Token, probability: Float)] = []
    if let drawn { choices.append((drawn, probability(Int(drawn)))) }
    for alternative in sampled.alternatives
    where choices.count < count && Token(alternative.token) != drawn {
      choices.append((Token(alternative.token), probability(alternative.token)))
    }
    return choices
  }
}
