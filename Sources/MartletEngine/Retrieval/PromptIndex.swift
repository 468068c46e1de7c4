import MartletKernels

/// What was learned from one prompt: how its keys are coded, and how many positions each head needs.
///
/// A function of the prompt alone, made when the first token beyond it wants to search: so texts do
/// not depend on how the prompt was cut into passes, on other runs or on time. All branches of the
/// prompt share it; tokens they generate are coded by it too.
final class PromptIndex: Sendable {
  /// One per layer and key-value head.
  let codebooks: [RetrievalCodebook]
  /// Positions that each layer's key-value head wants per query; nil for exact attention.
  let wanted: [Int?]
  /// Positions that `wanted` was found out with.
  let positions: Int
  /// The mean error that outputs of heads which search had where `wanted` was tried; nil untried.
  let error: Double?

  init(
    codebooks: [RetrievalCodebook], wanted: [Int?], positions: Int, error: Double? = nil
  ) {
    self.error = error
    self.codebooks = codebooks
    self.wanted = wanted
    self.positions = positions
  }

  /// Whether any head searches.
  var isUsed: Bool { wanted.contains { $0 != nil } }

  /// What a head wants where a token sees `seen` positions: more in proportion where text has grown
  /// beyond what was tried.
  func wanted(_ head: Int, seen: Int) -> Int? {
    guard let wanted = wanted[head] else { return nil }
    return seen <= positions ? wanted : wanted * seen / max(1, positions)
  }
}

/// Queries of a prompt that are kept until its index was learned from them.
struct QuerySamples {
  /// Spread over the prompt, to fit codebooks to; and at its end, to try searches with.
  static let spread = 128
  static let last = 8

  /// Whether a prompt of `count` tokens is long enough to learn from.
  static func suffice(prompt count: Int) -> Bool {
    fullPages(prompt: count) * KVSlab.pageTokens > spread * 2
  }

  /// The positions whose queries are kept, of a prompt of `count` tokens: ascending.
  static func positions(prompt count: Int) -> [Int] {
    guard suffice(prompt: count) else { return [] }
    let full = fullPages(prompt: count) * KVSlab.pageTokens
    let stride = full / spread
    let spread = (0..<spread).map { $0 * stride + stride / 2 }
    let last = (1...last).map { full - $0 * 3 }
    return Set(spread + last).sorted()
  }

  /// The pages that an index is learned from: not the one with the prompt's last token, which may be
  /// processed again.
  static func fullPages(prompt count: Int) -> Int { max(0, count - 1) / KVSlab.pageTokens }
}
