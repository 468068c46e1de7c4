import MartletPlugin

/// Guesses from phrases: what followed the last tokens where they stood before in the same text, the latest
/// occurrence of the longest match.
///
/// The example of a drafter in a plugin; the engine's own `ngram` does more. Linear in the text for each look.
///
/// Source: prompt lookup decoding (Saxena, 2023); LLMA, Inference with Reference (Yang et al., 2023).
struct Phrases: Drafter {
  static let id = "phrases"

  private let longest: Int
  private let shortest: Int

  init(_ component: ComponentContext) throws {
    longest = try component.integer("longest")
    shortest = min(longest, try component.integer("shortest"))
  }

  func guess(_ sequence: DraftSequence, most: Int) -> [Guess] {
    let tokens = sequence.tokens
    for length in stride(from: min(longest, tokens.count - 1), through: shortest, by: -1) {
      let tail = tokens.suffix(length)
      var start = tokens.count - length - 1
      while start >= 0 {
        if tokens[start..<start + length].elementsEqual(tail) {
          let next = tokens[(start + length)...].prefix(min(most, sequence.depth))
          // Longer matches come true more often.
          let trust = 1 - 0.5 / Float(length)
          return next.enumerated().map { Guess($1, after: $0 - 1, probability: trust) }
        }
        start -= 1
      }
    }
    return []
  }
}
