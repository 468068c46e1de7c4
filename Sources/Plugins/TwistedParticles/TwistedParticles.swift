import Glibc
import MartletPlugin

/// Twisted sequential Monte Carlo: particles are weighted by how much each step raised the expected reward, and
/// resampled only when their weights have grown apart.
///
/// The twist ψₜ is exp(scorer(text so far) / temperature): the scorer's estimate of what the finished text will be worth. A
/// step multiplies a particle's weight by ψₜ / ψₜ₋₁, so that the product over all steps is the final potential and the
/// weighted particles are properly weighted for p(text) · ψ(text), whatever ψ says on the way. Resampling is systematic,
/// when the effective number falls below `resample` · n. The answer is drawn by weight, or is the weighted vote. The trace
/// has the estimate of the log partition function.
///
/// Paper: Probabilistic Inference in Language Models via Twisted Sequential Monte Carlo (Zhao et al., 2024). The twist is
/// given here, not learned by the contrastive method.
struct TwistedParticles: Strategy {
  static let id = "twisted-smc"

  private let width: Int
  private let steps: Int
  private let temperature: Double
  private let threshold: Double
  private let delimiter: String
  private let stepTokens: Int
  private let answers: String

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    steps = try run.component.integer("steps")
    temperature = try run.component.number("temperature")
    threshold = try run.component.number("resample")
    delimiter = try run.stepDelimiter()
    stepTokens = try run.component.integer("step_tokens")
    answers = try run.component.text("answer")
  }

  func run(_ run: RunContext) throws {
    var dice = Dice(run)
    var particles = try run.root().fork(width)
    var weights = [Double](repeating: 0, count: width)
    var twists = weights
    var evidence = 0.0
    var resampled = 0
    try run.untilRunEnds { () throws(PluginError) in
      for step in 0..<steps {
        let isLast = step == steps - 1
        let end = try run.untilRunEnds { () throws(PluginError) in
          try run.advance(
            particles,
            isLast
              ? Advance()
              : stepTokens > 0 ? Advance(maxTokens: stepTokens) : Advance(delimiter: delimiter))
        }
        let scores = try run.score(particles).map { $0 / temperature }
        for index in particles.indices { weights[index] += scores[index] - twists[index] }
        twists = scores
        if let end { throw end }
        if try run.allFinished(particles) { return }
        let normal = Weights.normalized(weights)
        guard Weights.effectiveSize(normal) < threshold * Double(width) else { continue }
        evidence += Weights.logSum(weights) - log(Double(width))
        let ancestors = Weights.systematic(normal, count: width, uniform: try dice.uniform())
        particles = try run.resample(particles, ancestors: ancestors)
        twists = ancestors.map { twists[$0] }
        weights = weights.map { _ in 0 }
        resampled += 1
      }
    }
    evidence += Weights.logSum(weights) - log(Double(width))
    let normal = Weights.normalized(weights)
    switch answers {
    case "vote": try run.answerByVote(of: particles, weights: normal)
    case "best": try run.answerBest(of: particles, scores: twists)
    default:
      let drawn = try dice.index(weights: normal)
      var named: Candidate?
      for (index, particle) in particles.enumerated() {
        let candidate = try run.candidate(particle, score: normal[index])
        if index == drawn { named = candidate }
      }
      if let named { try run.answer(named) }
    }
    try run.component.trace(
      "evidence", ["log_partition": .number(evidence), "resampled": .integer(resampled)])
  }
}
