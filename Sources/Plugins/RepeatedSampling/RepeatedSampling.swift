import MartletPlugin

/// Repeated sampling to a verifier: answers are generated a batch at a time until one passes, or until the
/// cap; then the run abstains, or gives the best it has.
///
/// With `cancel` answers are judged as they come in, by tokens and not by time, and what is still being written when one
/// passes is given up; without, a batch is judged as a whole. An answer passes when its score reaches `threshold`. The more that are tried, the more often a verifier
/// that errs passes a wrong one: the cap bounds that.
///
/// Paper: Large Language Monkeys: Scaling Inference Compute with Repeated Sampling (Brown et al., 2024);
/// the cap is that of Inference Scaling fLaws: The Limits of LLM Resampling with Imperfect Verifiers
/// (Stroebl et al., 2024).
struct RepeatedSampling: Strategy {
  static let id = "repeated-sampling"

  private let cap: Int
  private let batch: Int
  private let threshold: Double
  private let abstains: Bool
  private let cancels: Bool

  init(_ run: RunContext) throws {
    cap = try run.component.integer("cap")
    batch = try run.component.integer("batch")
    threshold = try run.component.number("threshold")
    abstains = try run.component.integer("abstain") != 0
    cancels = try run.component.integer("cancel") != 0
  }

  func run(_ run: RunContext) throws {
    let root = try run.root()
    var best: (score: Double, candidate: Candidate)?
    var tried = 0
    func judge(_ branches: [Branch]) throws(PluginError) {
      for (branch, score) in zip(branches, try run.score(branches)) {
        let candidate = try run.candidate(branch, score: score)
        if best.map({ score > $0.score }) ?? true {
          best = (score, candidate)
          try run.answer(candidate)
        }
      }
    }
    func hasPassed() -> Bool { best.map { $0.score >= threshold } ?? false }
    let end = try run.untilRunEnds { () throws(PluginError) in
      while tried < cap, !hasPassed() {
        let branches = try root.fork(min(batch, cap - tried))
        tried += branches.count
        var end: PluginError?
        if cancels {
          try run.submit(branches)
          for _ in branches where !hasPassed() {
            let event = try run.waitAny()
            if event.stop == .budget { end = PluginError(.budget, "a budget of the run ended") }
            try judge([event.branch])
          }
        } else {
          end = try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
          try judge(branches)
        }
        for branch in branches { try branch.release() }
        if let end { throw end }
      }
    }
    guard let best else { return }
    if hasPassed() {
      try run.commit(best.candidate)
    } else if abstains, end == nil {
      try run.abstain()
    }
    try run.component.trace("tried", ["samples": .integer(tried), "best": .number(best.score)])
  }
}
