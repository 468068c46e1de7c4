import Glibc
import MartletPlugin

/// Momentum uncertainty: one chain of thought, and more effort only on the steps at which the model is less sure than it has
/// been on average.
///
/// A step's uncertainty u is its mean negative log-probability. The momentum m ← α·m + (1 − α)·u follows it; a step with
/// exp(u) > exp(m) / γ is tried `expand` more ways from the same point, and the one with the best score so far goes on (the scorer's,
/// or with `judge=probability` the model's own). γ near 1 spends more, near 0 nothing.
///
/// Paper: MUR: Momentum Uncertainty guided Reasoning for Large Language Models (Yan et al., 2025).
struct MomentumUncertainty: Strategy {
  static let id = "momentum-uncertainty"

  private let expand: Int
  private let alpha: Double
  private let gamma: Double
  private let steps: Int
  private let delimiter: String
  private let usesScorer: Bool

  init(_ run: RunContext) throws {
    expand = try run.component.integer("expand")
    alpha = try run.component.number("alpha")
    gamma = try run.component.number("gamma")
    steps = try run.component.integer("steps")
    delimiter = try run.stepDelimiter()
    usesScorer = try run.component.text("judge") == "scorer"
  }

  func run(_ run: RunContext) throws {
    var chain = try run.root().fork(1)[0]
    var momentum: Double?
    var scaled = 0
    try run.untilRunEnds { () throws(PluginError) in
      for _ in 0..<steps {
        let start = try chain.fork(1)[0]
        let tokens = try start.state().generatedTokens
        try run.advance([chain], Advance(delimiter: delimiter))
        let uncertainty = try Self.uncertainty(chain, from: tokens)
        if let momentum, exp(uncertainty) > exp(momentum) / gamma {
          scaled += 1
          let others = try start.fork(expand)
          try run.advance(others, Advance(delimiter: delimiter))
          let all = [chain] + others
          var scores: [Double] = []
          if usesScorer {
            scores = try run.score(all)
          } else {
            for branch in all { scores.append(-(try Self.uncertainty(branch, from: tokens))) }
          }
          let best = Weights.order(scores)[0]
          for (index, branch) in all.enumerated() where index != best { try branch.release() }
          chain = all[best]
        }
        try start.release()
        let kept = try Self.uncertainty(chain, from: tokens)
        momentum = momentum.map { alpha * $0 + (1 - alpha) * kept } ?? kept
        if try chain.state().isFinished { break }
      }
      if try !chain.state().isFinished { try run.advance([chain]) }
    }
    try run.answer(try run.candidate(chain))
    try run.component.trace("scaled", ["steps": .integer(scaled)])
  }

  private static func uncertainty(_ branch: Branch, from token: Int) throws(PluginError) -> Double {
    let logprobs = try branch.logprobs().dropFirst(token)
    return logprobs.isEmpty
      ? 0 : -logprobs.reduce(0) { $0 + Double($1) } / Double(logprobs.count)
  }
}
