import Glibc
import MartletPlugin

/// Saturation-point stopping: more answers are generated only while the next one is expected to add enough.
///
/// With the chance p of one answer to pass, estimated from those so far as (passed + 1) / (tried + 2), the n-th answer adds
/// p · (1 − p)ⁿ⁻¹ to the chance that one passes. It stops where that falls below `gain`, or one has passed, or at n.
///
/// Paper: Scaling over Scaling: Exploring Test-Time Scaling Pareto in Large Reasoning Models (Wang et al., 2025), its bound
/// for parallel scaling.
struct SaturationStopping: Strategy {
  static let id = "saturation-stopping"

  private let most: Int
  private let batch: Int
  private let gain: Double
  private let threshold: Double

  init(_ run: RunContext) throws {
    most = try run.component.integer("n")
    batch = try run.component.integer("batch")
    gain = try run.component.number("gain")
    threshold = try run.component.number("threshold")
  }

  func run(_ run: RunContext) throws {
    let root = try run.root()
    var best: Double?
    var tried = 0
    try run.untilRunEnds { () throws(PluginError) in
      while tried < most {
        // Nothing has passed so far, or it would have stopped.
        let chance = 1 / Double(tried + 2)
        if tried > 0, chance * pow(1 - chance, Double(tried)) < gain { return }
        let branches = try root.fork(min(batch, most - tried))
        tried += branches.count
        let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
        for (branch, score) in zip(branches, try run.score(branches)) {
          let candidate = try run.candidate(branch, score: score)
          if best.map({ score > $0 }) ?? true {
            best = score
            try run.answer(candidate)
          }
          try branch.release()
        }
        if let end { throw end }
        if let best, best >= threshold { return }
      }
    }
    try run.component.trace("saturated", ["tried": .integer(tried)])
  }
}
