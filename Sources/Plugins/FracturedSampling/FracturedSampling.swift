import MartletPlugin

/// Fractured sampling: few chains of thought, cut at several depths, several solutions from each cut, and one
/// vote over all of them.
///
/// Each of `n` trajectories runs to its end; at `depths` evenly spaced points it is cut, `finish` is appended,
/// and `m` solutions are drawn from there. Solutions share the keys and values of the part they follow.
///
/// Paper: Fractured Chain-of-Thought Reasoning (Liao et al., 2025).
struct FracturedSampling: Strategy {
  static let id = "fractured-sampling"

  private let trajectories: Int
  private let depths: Int
  private let solutions: Int
  private let finish: String
  private let solutionTokens: Int

  init(_ run: RunContext) throws {
    trajectories = try run.component.integer("n")
    depths = try run.component.integer("depths")
    solutions = try run.component.integer("m")
    finish = try run.filled(try run.component.text("finish"))
    solutionTokens = try run.component.integer("solution_tokens")
  }

  func run(_ run: RunContext) throws {
    let whole = try run.root().fork(trajectories)
    var voters = whole
    try run.untilRunEnds { () throws(PluginError) in
      try run.advance(whole)
      var cuts: [Branch] = []
      for trajectory in whole {
        let length = try trajectory.state().generatedTokens
        for depth in 1..<max(1, depths) {
          let kept = length * depth / depths
          guard kept > 0, kept < length else { continue }
          for cut in try trajectory.fork(solutions) {
            try cut.truncate(toGenerated: kept)
            if try run.ifRoom({ () throws(PluginError) in try cut.append(finish) }) != nil {
              cuts.append(cut)
            }
          }
        }
      }
      guard !cuts.isEmpty else { return }
      voters += cuts
      try run.advance(
        cuts, Advance(maxTokens: solutionTokens == 0 ? nil : solutionTokens))
    }
    try run.answerByVote(of: voters)
    try run.component.trace("cuts", ["solutions": .integer(voters.count)])
  }
}
