import MartletPlugin

/// Early rejection with partial rewards: beam search over steps in which candidates are judged in the middle of
/// a step, and only the better part of them finishes it.
///
/// Of all continuations the first `tau` tokens are generated; the scorer judges those, the best `keep` of them
/// finish the step, and the usual selection follows. Half a step's tokens are saved for each one rejected.
///
/// Paper: Accelerating LLM Reasoning via Early Rejection with Partial Reward Modeling (Cheshmi et al., 2025).
struct EarlyRejection: Strategy {
  static let id = "early-rejection"

  private let beams: StepBeams
  private let tau: Int
  private let keep: Double

  init(_ run: RunContext) throws {
    beams = try StepBeams(run)
    tau = try run.component.integer("tau")
    keep = try run.component.number("keep")
  }

  func run(_ run: RunContext) throws {
    var open = try run.root().fork(beams.width * beams.expand)
    var finished: [Branch] = []
    var kept: [Branch] = []
    var rejected = 0
    try run.untilRunEnds { () throws(PluginError) in
      for _ in 0..<beams.steps {
        try run.advance(open, Advance(maxTokens: tau, delimiter: beams.delimiter))
        let order = Weights.order(try run.score(open))
        let count = max(beams.width, Int((Double(open.count) * keep).rounded(.up)))
        for index in order.dropFirst(count) {
          try open[index].release()
          rejected += 1
        }
        open = order.prefix(count).map { open[$0] }
        var unfinished: [Branch] = []
        for branch in open where try branch.state().stop == .tokens { unfinished.append(branch) }
        if !unfinished.isEmpty { try run.advance(unfinished, beams.advance) }

        let all = finished + open
        let scores = try run.score(all)
        let best = Weights.order(scores)
        for index in best.dropFirst(beams.width) { try all[index].release() }
        kept = best.prefix(beams.width).map { all[$0] }
        (finished, open) = ([], [])
        for branch in kept {
          if try branch.state().isFinished {
            finished.append(branch)
          } else {
            open += try branch.fork(beams.expand)
            try branch.release()
          }
        }
        if open.isEmpty { return }
        kept = finished + open
      }
      try run.advance(open)
    }
    let last = kept.isEmpty ? open : kept
    try run.answerBest(of: last, scores: try run.score(last))
    try run.component.trace("rejected", ["candidates": .integer(rejected)])
  }
}
