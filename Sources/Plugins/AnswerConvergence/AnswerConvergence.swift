import MartletPlugin

/// Answer convergence: a chain of thought is asked for its answer as it goes, and stops when the answer has
/// stayed the same.
///
/// Every `every` tokens, or after each step with `every=0`, a fork is given `probe` and writes at most
/// `probe_tokens` greedily; its keys and values are the chain's own, so a look costs the probe alone. After
/// `patience` equal answers in a row that fork is the answer.
///
/// Paper: Answer Convergence as a Signal for Early Stopping in Reasoning (Liu and Wang, 2025), its first rule.
struct AnswerConvergence: Strategy {
  static let id = "answer-convergence"

  private let every: Int
  private let patience: Int
  private let probe: String
  private let probeTokens: Int
  private let step: String

  init(_ run: RunContext) throws {
    every = try run.component.integer("every")
    patience = try run.component.integer("patience")
    probe = try run.filled(try run.component.text("probe"))
    probeTokens = try run.component.integer("probe_tokens")
    step = try run.stepDelimiter()
  }

  func run(_ run: RunContext) throws {
    let chain = try run.root().fork(1)[0]
    var last: (answer: String, times: Int)?
    var looks = 0
    try run.untilRunEnds { () throws(PluginError) in
      while true {
        try run.advance(
          [chain], every > 0 ? Advance(maxTokens: every) : Advance(delimiter: step))
        if try chain.state().isFinished { break }
        let look = try chain.fork(1)[0]
        guard try run.ifRoom({ () throws(PluginError) in try look.append(probe) }) != nil else {
          try look.release()
          continue
        }
        try run.advance([look], Advance(maxTokens: probeTokens, sampling: "+temperature=0"))
        looks += 1
        guard let answer = try look.extract() else {
          last = nil
          try look.release()
          continue
        }
        last = (answer, last?.answer == answer ? last!.times + 1 : 1)
        if last!.times >= patience {
          try run.answer(try run.candidate(look))
          return
        }
        try look.release()
      }
      try run.answer(try run.candidate(chain))
    }
    try run.component.trace("looked", ["times": .integer(looks)])
  }
}
