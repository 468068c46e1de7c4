import MartletPlugin

/// Adaptive sampling by one-token self-evaluation: the model is asked in the middle and at the end whether another try would
/// do better, and by its answer tries are cut short and no more are begun.
///
/// `probe` is appended and the probability of `yes` against `no` read: the chance that a restart would be better. Of `batch`
/// tries each `look` tokens those above `prune` are stopped; when the best finished try is at or below `enough` it is the
/// answer, else another batch begins, up to n. A probe costs its own tokens; keys and values are rolled back.
///
/// Paper: Adaptive Inference-Time Compute: LLMs Can Predict if They Can Do Better, Even Mid-Generation (Manvi et al.,
/// 2024), with a prompt in place of its fine-tuned model.
struct SelfEvaluatedSampling: Strategy {
  static let id = "self-evaluated-sampling"

  private let most: Int
  private let batch: Int
  private let look: Int
  private let prune: Double
  private let enough: Double
  private let probe: String
  private let labels: [String]

  init(_ run: RunContext) throws {
    most = try run.component.integer("n")
    batch = try run.component.integer("batch")
    look = try run.component.integer("look")
    prune = try run.component.number("prune")
    enough = try run.component.number("enough")
    probe = try run.filled(try run.component.text("probe"))
    labels = [try run.component.text("yes"), try run.component.text("no")]
  }

  func run(_ run: RunContext) throws {
    let root = try run.root()
    var best: Double?
    var open: [Branch] = []
    var (tried, pruned) = (0, 0)
    try run.untilRunEnds { () throws(PluginError) in
      while tried < most {
        open = []
        open = try root.fork(min(batch, most - tried))
        tried += open.count
        while !open.isEmpty {
          try run.advance(open, Advance(maxTokens: look))
          let doubts = try restart(open, run)
          var going: [Branch] = []
          for (branch, doubt) in zip(open, doubts) {
            if try branch.state().isFinished {
              let candidate = try run.candidate(branch, score: 1 - doubt)
              if best.map({ doubt < $0 }) ?? true {
                best = doubt
                try run.answer(candidate)
              }
              try branch.release()
            } else if doubt > prune, going.count + 1 < open.count {
              pruned += 1
              try branch.release()
            } else {
              going.append(branch)
            }
          }
          open = going
        }
        if let best, best <= enough { break }
      }
    }
    try run.component.trace("tries", ["begun": .integer(tried), "pruned": .integer(pruned)])
  }

  /// The probability that a restart would be better, after each branch.
  private func restart(_ branches: [Branch], _ run: RunContext) throws(PluginError) -> [Double] {
    try run.labelProbabilities(branches, probe: probe, labels: labels).map { odds in
      odds[0] + odds[1] > 0 ? odds[0] / (odds[0] + odds[1]) : 0.5
    }
  }
}
