import MartletPlugin

/// Model switching: the run's model answers first, and another model is asked only where its answers do not
/// agree.
///
/// Models are tried in order, each with `k` samples. A model whose answers agree at least `threshold` decides
/// alone; otherwise all votes count, each model's weighted by its agreement, 1 − entropy / ln k.
///
/// Paper: Do We Truly Need So Many Samples? Multi-LLM Repeated Sampling Efficiently Scales Test-Time Compute
/// (Chen et al., 2025).
struct ModelSwitch: Strategy {
  static let id = "model-switch"

  private let samples: Int
  private let threshold: Double
  private let models: [String]

  init(_ run: RunContext) throws {
    samples = try run.component.integer("k")
    threshold = try run.component.number("threshold")
    models = try run.component.text("models").split(separator: ",").map(String.init)
  }

  func run(_ run: RunContext) throws {
    var all = Votes()
    var asked = 0
    try run.untilRunEnds { () throws(PluginError) in
      for model in [nil] + models.map(Optional.some) {
        var prompt = try run.root()
        if let model { prompt = try run.open(run.prompt(), on: run.model(model)) }
        let branches = try prompt.fork(samples)
        let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
        asked += 1
        var own = Votes()
        var cast: [(String?, Double, Candidate)] = []
        for branch in branches {
          let candidate = try run.candidate(text: try branch.text())
          let (answer, logprob) = (try run.answer(of: candidate), try branch.state().logprob)
          own.add(answer, merit: logprob, candidate: candidate)
          cast.append((answer, logprob, candidate))
          try branch.release()
        }
        let weight = own.consistency(of: samples)
        for (answer, logprob, candidate) in cast {
          all.add(answer, weight: weight, merit: logprob, candidate: candidate)
        }
        let decides = own.agreement >= threshold && !own.tallies.isEmpty
        if let chosen = (decides ? own : all).chosen { try run.answer(chosen) }
        if let end { throw end }
        if decides { return }
      }
    }
    try run.component.trace("models", ["asked": .integer(asked)])
  }
}

extension Votes {
  /// 1 where all agree, near 0 where all differ.
  fileprivate func consistency(of samples: Int) -> Double {
    guard samples > 1 else { return 1 }
    var most = 0.0
    for count in 1...samples { most += 1 / Double(count) }  // Of the order of ln(samples).
    return max(0.01, 1 - entropy / most)
  }
}
