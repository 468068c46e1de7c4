import MartletPlugin

/// The mean untempered log-probability of the generated tokens, nats: how sure the model was of
/// what it wrote, whatever the length. An empty text scores lowest.
struct MeanLogprob: Scorer {
  static let id = "mean-logprob"

  /// Below any mean that a float32 log-probability can give, yet finite as a score must be.
  private static let lowest = -1e300

  init(_ component: ComponentContext) {}

  func score(_ generated: GeneratedText) throws -> Double {
    guard !generated.logprobs.isEmpty else { return Self.lowest }
    let total = generated.logprobs.reduce(0.0) { $0 + Double($1) }
    return max(Self.lowest, total / Double(generated.logprobs.count))
  }
}
