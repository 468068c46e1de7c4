import Glibc
import MartletPlugin

/// Stochastic beam search guided by self-evaluation: steps are judged by the model's own probability and by its own
/// opinion of them, and beams are drawn, not taken, in proportion.
///
/// A step's value is p^weight · c^(1 − weight), with p its probability per token and c the scorer's judgement of
/// the text so far, in 0…1 (`p-true` unless another is named). Beams are drawn without replacement in proportion to
/// exp(total log value / temperature); the temperature is multiplied by `decay` after each step. The beams at the
/// end vote, weighted.
///
/// Paper: Decomposition Enhances Reasoning via Self-Evaluation Guided Decoding (Xie et al., 2023).
struct SelfEvaluationBeam: Strategy {
  static let id = "self-evaluation-beam"

  private let beams: StepBeams
  private let weight: Double
  private let temperature: Double
  private let decay: Double

  init(_ run: RunContext) throws {
    beams = try StepBeams(run)
    weight = try run.component.number("weight")
    temperature = try run.component.number("temperature")
    decay = try run.component.number("decay")
  }

  private struct Beam {
    let branch: Branch
    var value: Double
    var isFinished = false
  }

  func run(_ run: RunContext) throws {
    var dice = Dice(run)
    var kept = [Beam(branch: try run.root().fork(1)[0], value: 0)]
    try run.untilRunEnds { () throws(PluginError) in
      var heat = temperature
      for _ in 0..<beams.steps {
        let going = kept.filter { !$0.isFinished }
        if going.isEmpty { return }
        var children: [(branch: Branch, parent: Beam, tokens: Int)] = []
        for beam in going {
          let tokens = try beam.branch.state().generatedTokens
          let count = kept.count == 1 ? beams.width * beams.expand : beams.expand
          for child in try beam.branch.fork(count) { children.append((child, beam, tokens)) }
          try beam.branch.release()
        }
        kept =
          kept.filter(\.isFinished)
          + children.map { Beam(branch: $0.branch, value: $0.parent.value) }
        try run.advance(children.map(\.branch), beams.advance)
        let opinions = try run.score(children.map(\.branch))
        var all = kept.filter(\.isFinished)
        for (child, opinion) in zip(children, opinions) {
          let logprobs = try child.branch.logprobs().dropFirst(child.tokens)
          let mean =
            logprobs.isEmpty
            ? 0 : logprobs.reduce(0) { $0 + Double($1) } / Double(logprobs.count)
          let step = weight * mean + (1 - weight) * log(max(opinion, 1e-6))
          all.append(
            Beam(
              branch: child.branch, value: child.parent.value + step,
              isFinished: try child.branch.state().isFinished))
        }
        kept = try draw(all, heat: heat, &dice)
        heat *= decay
      }
      try run.advance(kept.filter { !$0.isFinished }.map(\.branch))
    }
    try run.answerByVote(of: kept.map(\.branch), weights: Weights.normalized(kept.map(\.value)))
  }

  /// Beams without replacement: the greatest of value / heat + Gumbel noise.
  private func draw(
    _ all: [Beam], heat: Double, _ dice: inout Dice
  ) throws(PluginError) -> [Beam] {
    var keys: [Double] = []
    for beam in all {
      let noise = -log(-log(max(try dice.uniform(), 1e-300)))
      keys.append(beam.value / max(heat, 1e-6) + noise)
    }
    var kept: [Beam] = []
    for (rank, index) in Weights.order(keys).enumerated() {
      if rank < beams.width { kept.append(all[index]) } else { try all[index].branch.release() }
    }
    return kept
  }
}
