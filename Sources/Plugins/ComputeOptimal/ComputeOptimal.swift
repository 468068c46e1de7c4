import MartletPlugin

/// Compute-optimal choice by difficulty: a few answers show how hard the prompt is, and the rest of the budget goes to the
/// method that suits.
///
/// `pilot` answers vote; their agreement is the prompt's ease. At `easy` or above the vote stands. Between, `medium` is run,
/// below `hard` the strategy `hardest`; each is an id with options, `self-consistency:n=8` or `beam-search:width=4,expand=4`,
/// and runs inside this one on what is left. Their candidates and those of the pilot are compared by the scorer, if the run
/// has one, else what ran last decides.
///
/// Paper: Scaling LLM Test-Time Compute Optimally can be More Effective than Scaling Model Parameters (Snell et al., 2024).
struct ComputeOptimal: Strategy {
  static let id = "compute-optimal"

  private let pilot: Int
  private let easy: Double
  private let hard: Double
  private let medium: String
  private let hardest: String

  init(_ run: RunContext) throws {
    pilot = try run.component.integer("pilot")
    easy = try run.component.number("easy")
    hard = try run.component.number("hard")
    medium = try run.component.text("medium")
    hardest = try run.component.text("hardest")
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(pilot)
    let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
    let voted = try run.answerByVote(of: branches)
    let ease = voted.votes.tallies.isEmpty ? 0 : voted.votes.agreement
    var chosen = ""
    if end == nil, ease < easy {
      chosen = ease < hard ? hardest : medium
      try run.untilRunEnds { () throws(PluginError) in
        let (id, options) = try Self.parsed(chosen)
        let child = try run.runChild(id, options: options)
        if let answer = child.answer { try run.answer(answer) }
        try child.branch?.release()
      }
    }
    try run.component.trace("difficulty", ["ease": .number(ease), "method": .text(chosen)])
  }

  /// An id and options of `id:name=value,name=value`.
  private static func parsed(
    _ text: String
  ) throws(PluginError) -> (id: String, options: [String: String]) {
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    guard let id = parts.first else {
      throw PluginError(.argument, "no strategy is named for this difficulty")
    }
    var options: [String: String] = [:]
    for pair in parts.count > 1 ? parts[1].split(separator: ",") : [] {
      let sides = pair.split(separator: "=", maxSplits: 1).map(String.init)
      guard sides.count == 2 else {
        throw PluginError(.argument, "'\(pair)' of '\(text)' is not of the form name=value")
      }
      options[sides[0]] = sides[1]
    }
    return (id, options)
  }
}
