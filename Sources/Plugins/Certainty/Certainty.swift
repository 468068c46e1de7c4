import MartletPlugin

/// How sure the model was of its least sure stretch: the lowest mean log-probability over `group` consecutive
/// tokens, nats; of the last `group` tokens with `measure=tail`. An empty text scores lowest.
///
/// Paper: Deep Think with Confidence (Fu et al., 2025), its lowest-group and tail confidence, with the token's
/// own log-probability in place of the mean over the likeliest.
struct Certainty: Scorer {
  static let id = "certainty"

  /// Below any mean that a float32 log-probability can give, yet finite as a score must be.
  private static let lowest = -1e300

  private let group: Int
  private let usesTail: Bool

  init(_ component: ComponentContext) throws {
    group = try component.integer("group")
    usesTail = try component.text("measure") == "tail"
  }

  func score(_ generated: GeneratedText) throws -> Double {
    let logprobs = generated.logprobs
    guard !logprobs.isEmpty else { return Self.lowest }
    let size = min(group, logprobs.count)
    if usesTail { return Self.mean(logprobs.suffix(size)) }
    let starts = 0...(logprobs.count - size)
    return starts.map { Self.mean(logprobs[$0..<$0 + size]) }.min() ?? Self.lowest
  }

  private static func mean(_ values: ArraySlice<Float>) -> Double {
    max(lowest, values.reduce(0) { $0 + Double($1) } / Double(values.count))
  }
}
