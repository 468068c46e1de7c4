import MartletPlugin

/// NoWait: generate with the tokens of hesitation ("Wait", "Hmm", "Alternatively") forbidden, so that chains
/// of thought are shorter.
///
/// Every spelling of each word that is one token is suppressed: with and without a space before it, in lower
/// case and capitalised.
///
/// Paper: Wait, We Don't Need to "Wait"! Removing Thinking Tokens Improves Reasoning Efficiency (Wang et
/// al., 2025).
struct NoWait: Strategy {
  static let id = "nowait"

  private let width: Int
  private let words: [String]

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    words = try run.component.text("words").split(separator: ",").map(String.init)
  }

  func run(_ run: RunContext) throws {
    var suppressed: Set<Int32> = []
    for word in words {
      let first = word.prefix(1)
      let spellings = [
        word, first.uppercased() + word.dropFirst(), first.lowercased() + word.dropFirst(),
      ]
      for spelling in spellings {
        for text in [spelling, " " + spelling] {
          let tokens = try run.tokens(of: text)
          if tokens.count == 1 { suppressed.insert(tokens[0]) }
        }
      }
    }
    let sampling = "+" + suppressed.sorted().map { "suppress=\($0)" }.joined(separator: ",")
    let branches = try run.root().fork(width)
    try run.untilRunEnds { () throws(PluginError) in
      try run.advance(branches, Advance(sampling: suppressed.isEmpty ? nil : sampling))
    }
    try run.answerByVote(of: branches)
    try run.component.trace("suppressed", ["tokens": .integer(suppressed.count)])
  }
}
