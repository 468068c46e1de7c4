import Foundation
import MartletModel

/// The tokens that a draft model computes logits for: the most frequent ones.
///
/// Of a large vocabulary most tokens are seldom written, but a small model spends much of its time on
/// their logits. A token that is left out is never guessed; no text depends on it. Source: "FR-Spec:
/// Accelerating Large-Vocabulary Language Models via Frequency-Ranked Speculative Sampling".
public struct DraftVocabulary: Sendable, Hashable {
  /// The most tokens; nil for all that occur in the text.
  public var count: Int?
  /// A text whose tokens are counted; nil for the text that the engine remembers
  /// (``Drafting/Source/trie``).
  public var path: String?

  /// At least one of them is given.
  public init(count: Int? = nil, path: String? = nil) {
    precondition(count != nil || path != nil, "all tokens of no text")
    self.count = count
    self.path = path
  }

  /// What ``parse(_:of:)`` reads as this.
  var name: String {
    [count.map(String.init), path].compactMap(\.self).joined(separator: ":")
  }

  /// `N`, `FILE` or `N:FILE`.
  static func parse(_ value: Substring, of text: String) throws(EngineError) -> DraftVocabulary {
    let parts = value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let count = Int(parts[0])
    let path = count == nil ? String(value) : parts.count > 1 ? String(parts[1]) : nil
    guard path != "", count ?? 1 >= 1 else {
      throw EngineError(
        .argument,
        "drafting '\(text)': vocabulary takes a number of tokens, 1 or more, a text file, or both as "
          + "N:FILE, not '\(value)'")
    }
    return DraftVocabulary(count: count, path: path)
  }

  /// The tokens, ascending. Where the text has fewer than `count`, those with the lowest ids follow: a
  /// tokenizer's first merges are its most frequent ones.
  ///
  /// - Throws: `EngineError` `.file` for a text that cannot be read, `.argument` for one without tokens.
  public func tokens(of engine: Engine) throws(EngineError) -> [Token] {
    let size = engine.backend.vocabularySize
    var counts = [Int](repeating: 0, count: size)
    if let path {
      let text: String
      do {
        text = try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
      } catch {
        throw EngineError(
          .file, "cannot rank tokens by \(path): \(error.localizedDescription)")
      }
      let tokens = engine.tokenizer.encode(text, addSpecial: false, parseSpecial: false)
      guard !tokens.isEmpty else {
        throw EngineError(.argument, "cannot rank tokens by \(path): it holds no text")
      }
      for token in tokens where Int(token) < size { counts[Int(token)] += 1 }
    } else {
      for entry in engine.core.generatedSnapshot().index.all {
        for i in 0..<4 where entry.counts[i] > 0 && Int(entry.tokens[i]) < size {
          counts[Int(entry.tokens[i])] += Int(entry.counts[i])
        }
      }
    }
    // What ends a text is written once per text and drawn in each.
    for token in engine.tokenizer.endOfGenerationTokens where Int(token) < size {
      counts[Int(token)] += 1
    }
    let ranked = counts.indices.sorted { (counts[$1], $0) < (counts[$0], $1) }
    let known = counts.count { $0 > 0 }
    return ranked.prefix(count ?? known).map { Token($0) }.sorted()
  }
}
