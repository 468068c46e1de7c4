import MartletPlugin

/// Budget forcing: a chain of thought that ends too soon is made to go on, and one that goes on too long is
/// made to answer.
///
/// Where the model stops before `min_tokens`, its ending is taken back and `wait` appended, at most `times`
/// times. At `max_tokens` `answer` is appended, after which it may write `answer_tokens` more.
///
/// Paper: s1: Simple test-time scaling (Muennighoff et al., 2025).
struct BudgetForcing: Strategy {
  static let id = "budget-forcing"

  private let least: Int
  private let most: Int
  private let times: Int
  private let wait: String
  private let answer: String
  private let answerTokens: Int

  init(_ run: RunContext) throws {
    least = try run.component.integer("min_tokens")
    most = try run.component.integer("max_tokens")
    times = try run.component.integer("times")
    wait = try run.filled(try run.component.text("wait"))
    answer = try run.filled(try run.component.text("answer"))
    answerTokens = try run.component.integer("answer_tokens")
  }

  func run(_ run: RunContext) throws {
    var branch = try run.root().fork(1)[0]
    var forced = 0
    try run.untilRunEnds { () throws(PluginError) in
      while true {
        let written = try branch.state().generatedTokens
        guard written < most else { break }
        try run.advance([branch], Advance(maxTokens: most - written))
        let state = try branch.state()
        guard state.isFinished, state.generatedTokens < least, forced < times else { break }
        let on = try branch.reopened()
        guard try run.ifRoom({ () throws(PluginError) in try on.append(wait) }) != nil else {
          break
        }
        try branch.release()
        branch = on
        forced += 1
      }
      if try !branch.state().isFinished {
        guard try run.ifRoom({ () throws(PluginError) in try branch.append(answer) }) != nil else {
          return
        }
        try run.advance([branch], Advance(maxTokens: answerTokens))
      }
    }
    try run.answer(try run.candidate(branch))
    try run.component.trace("forced", ["times": .integer(forced)])
  }
}
