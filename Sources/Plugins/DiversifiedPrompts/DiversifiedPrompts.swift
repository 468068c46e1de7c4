import MartletPlugin

/// Diversified sampling: the question is put in several ways, each answered as often, and all vote.
///
/// `prompts` holds the ways, separated by `|`, with `{prompt}` for the question; the first samples go to the
/// first way where n is no multiple of their number. With `vote=false` the scorer chooses in place of the vote.
///
/// Paper: Diversified Sampling Improves Scaling LLM inference (Wang et al., 2025).
struct DiversifiedPrompts: Strategy {
  static let id = "diversified-prompts"

  private let samples: Int
  private let ways: [String]
  private let votes: Bool
  private let form: PromptForm

  init(_ run: RunContext) throws {
    samples = try run.component.integer("n")
    ways = try run.component.text("prompts").split(separator: "|").map {
      try run.filled(String($0))
    }
    votes = try run.component.integer("vote") != 0
    form = try run.component.integer("chat") != 0 ? .chat : .plain
    if ways.isEmpty { throw PluginError(.argument, "prompts is empty; give at least {prompt}") }
  }

  func run(_ run: RunContext) throws {
    var branches: [Branch] = []
    try run.untilRunEnds { () throws(PluginError) in
      for (index, way) in ways.enumerated() {
        let count = samples / ways.count + (index < samples % ways.count ? 1 : 0)
        guard count > 0 else { continue }
        let prompt = try run.open(way, as: form)
        branches += try prompt.fork(count)
        try prompt.release()
      }
      try run.advance(branches)
    }
    guard !branches.isEmpty else { return }
    if votes {
      try run.answerByVote(of: branches)
    } else {
      try run.answerBest(of: branches, scores: try run.score(branches))
    }
  }
}
