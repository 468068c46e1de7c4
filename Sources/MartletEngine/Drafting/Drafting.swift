/// Where a run's drafts come from: tokens guessed ahead, processed together with the token they
/// follow, and kept only where they are what the run draws anyway.
///
/// Drafting never changes a text. A guess is accepted exactly when it equals the token that plain
/// sampling draws at that place with the same random number, so greedy and sampled texts are the
/// same bits with any drafting or none; what changes is how many forward passes they take.
///
/// Only as many tokens are drafted as the engine's cost curve makes worth while, given how often
/// guesses of the same kind came true before: past the knee, or where the text cannot be guessed,
/// nothing is drafted. Sources: "Inference with Reference: Lossless Acceleration of Large Language
/// Models" (copying from what was read and written); "Lookahead: An Inference Acceleration Framework
/// for Large Language Model with Lossless Generation Accuracy" (a trie of earlier texts);
/// "Speculative Decoding for Multi-Sample Inference" (siblings' text); "EAGLE-2: Faster Inference of
/// Language Models with Dynamic Draft Trees" (the tree grows where it is likely to be accepted).
public struct Drafting: Sendable, Equatable {
  /// A text that drafts are copied from.
  public enum Source: String, Sendable, CaseIterable {
    /// The branch's own prompt and output.
    case ngram
    /// The prompt and every branch of the run.
    case siblings
    /// Everything that this engine generated with drafting on, in all runs.
    case trie
  }

  /// The texts to copy from; empty is off.
  public var sources: Set<Source>
  /// The most drafted tokens per branch and forward pass.
  public var maximumNodes: Int
  /// The most drafted tokens in a row.
  public var maximumDepth: Int

  /// Drafts from `sources`.
  public init(_ sources: Set<Source>, maximumNodes: Int = 24, maximumDepth: Int = 16) {
    self.sources = sources
    self.maximumNodes = maximumNodes
    self.maximumDepth = maximumDepth
  }

  /// No drafts.
  public static let off = Drafting([])
  /// The siblings' text, and what other runs generated.
  public static let auto = Drafting([.siblings, .trie])

  /// Whether anything is drafted.
  public var isOn: Bool { !sources.isEmpty && maximumNodes > 0 && maximumDepth > 0 }

  /// What ``parse(_:)`` reads as this, limits aside.
  public var name: String {
    if !isOn { return "off" }
    if sources == Drafting.auto.sources { return "auto" }
    return Source.allCases.filter(sources.contains).map(\.rawValue).joined(separator: "+")
  }

  /// The words that ``parse(_:)`` knows.
  public static let names = ["auto", "off"] + Source.allCases.map(\.rawValue)

  /// `auto`, `off`, or names of sources joined by `+`, such as `ngram` or `siblings+trie`.
  ///
  /// Throws ``EngineError/Code/argument`` naming the word at fault.
  public static func parse(_ text: String) throws(EngineError) -> Drafting {
    switch text {
    case "auto": return .auto
    case "off": return .off
    default: break
    }
    var sources: Set<Source> = []
    for name in text.split(separator: "+", omittingEmptySubsequences: false) {
      guard let source = Source(rawValue: String(name)) else {
        throw EngineError(
          .argument,
          "drafting '\(text)': '\(name)' is unknown; write \(names.joined(separator: ", ")), or "
            + "sources joined by +")
      }
      guard sources.insert(source).inserted else {
        throw EngineError(.argument, "drafting '\(text)' names '\(name)' twice")
      }
    }
    return Drafting(sources)
  }

  func validate() throws(EngineError) {
    guard maximumNodes >= 0, maximumDepth >= 0 else {
      throw EngineError(
        .argument,
        "drafting allows \(maximumNodes) tokens, \(maximumDepth) in a row; both must be 0 or more")
    }
  }
}
