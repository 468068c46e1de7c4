/// How guesses are held against the model.
///
/// `noise` keeps a guess exactly when it is the token that plain sampling draws there with the same
/// random number: texts are the same bits with drafting or without. The others are the rejection
/// samplers of `martlet/verify.h`. They keep more of what a drafter that computes guesses, and give
/// texts of the same distribution, but not the same texts, and not the same ones twice: which tokens
/// are drafted depends on what passes cost at the moment. `typical` changes the distribution.
public enum Verifier: Sendable, Equatable {
  case noise
  /// One guess per place, kept with the probability that the model gives it over the drafter's. Source:
  /// "Fast Inference from Transformers via Speculative Decoding".
  case chain
  /// `width` independent guesses per place, each tested against what the rejected ones have left.
  /// Source: "SpecInfer".
  case recursive(width: Int)
  /// The same for guesses drawn without replacement. Source: "Recursive Speculative Decoding".
  case distinct(width: Int)
  /// Independent guesses reduced to one by importance and tested once. Source: "Multi-Draft Speculative
  /// Sampling: Canonical Architectures and Theoretical Limits".
  case weighted(width: Int)
  /// Keeps guesses of a probability above min(epsilon, delta · exp(−entropy)), place by place.
  /// **Changes the distribution.** Source: "Medusa".
  case typical(epsilon: Float, delta: Float)

  /// Guesses per place that a drafter draws by chance, from a law that it states; 0 where it chooses
  /// them as it likes.
  public var draws: Int {
    switch self {
    case .noise, .typical: 0
    case .chain: 1
    case .recursive(let width), .distinct(let width), .weighted(let width): width
    }
  }

  /// Whether they are all different.
  var drawsDistinct: Bool {
    if case .distinct = self { true } else { false }
  }

  /// What ``parse(_:)`` reads as this.
  public var name: String {
    switch self {
    case .noise: "noise"
    case .chain: "chain"
    case .recursive(let width): "recursive=\(width)"
    case .distinct(let width): "distinct=\(width)"
    case .weighted(let width): "weighted=\(width)"
    case .typical(let epsilon, let delta): "typical=\(epsilon):\(delta)"
    }
  }

  /// The words that ``parse(_:)`` knows.
  public static let names = [
    "noise", "chain", "recursive=N", "distinct=N", "weighted=N", "typical=EPSILON:DELTA",
  ]

  /// `noise`, `chain`, `recursive`, `distinct` or `weighted`, each with `=N` guesses per place (2 to 8,
  /// 3 if not given), or `typical=EPSILON:DELTA` (0.09:0.3 if not given).
  ///
  /// Throws ``EngineError/Code/argument`` naming the word or number at fault.
  public static func parse(_ text: String) throws(EngineError) -> Verifier {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let value = parts.count > 1 ? parts[1] : nil
    func width() throws(EngineError) -> Int {
      guard let value else { return 3 }
      guard let width = Int(value) else {
        throw EngineError(
          .argument, "verifier '\(text)': '\(value)' is no number of guesses per place")
      }
      return width
    }
    let verifier: Verifier
    switch parts[0] {
    case "noise" where value == nil: return .noise
    case "chain" where value == nil: return .chain
    case "recursive": verifier = .recursive(width: try width())
    case "distinct": verifier = .distinct(width: try width())
    case "weighted": verifier = .weighted(width: try width())
    case "typical":
      guard let value else { return .typical(epsilon: 0.09, delta: 0.3) }
      let numbers = value.split(separator: ":", omittingEmptySubsequences: false).map { Float($0) }
      guard numbers.count == 2, let epsilon = numbers[0], let delta = numbers[1] else {
        throw EngineError(
          .argument, "verifier '\(text)': typical takes EPSILON:DELTA, such as 0.09:0.3")
      }
      verifier = .typical(epsilon: epsilon, delta: delta)
    default:
      throw EngineError(
        .argument,
        "verifier '\(text)' is unknown; write one of \(names.joined(separator: ", "))")
    }
    try verifier.validate()
    return verifier
  }

  func validate() throws(EngineError) {
    switch self {
    case .noise, .chain: return
    case .recursive(let width), .distinct(let width), .weighted(let width):
      guard (2...8).contains(width) else {
        throw EngineError(
          .argument,
          "verifier '\(name)': \(width) guesses per place; choose between 2 and 8 (chain has one)")
      }
    case .typical(let epsilon, let delta):
      guard epsilon >= 0, epsilon.isFinite, delta >= 0, delta.isFinite else {
        throw EngineError(
          .argument, "verifier '\(name)': give finite numbers that are not negative")
      }
    }
  }
}

/// Guesses for one place that were drawn by chance, and the law that they were drawn from.
public struct DraftLaw: Sendable, Equatable {
  /// A probability per token of the model guessed for.
  public let probabilities: [Float]
  /// What was drawn, in order, repetitions included.
  public let tokens: [Int32]

  public init(probabilities: [Float], tokens: [Int32]) {
    self.probabilities = probabilities
    self.tokens = tokens
  }
}
