import MartletPlugin

/// Particle filtering with a process reward: n answers grow step by step, and after each step the population is
/// resampled in proportion to exp(reward / temperature).
///
/// The reward is the run's scorer on what a particle holds so far; resampling is systematic and moves references
/// to keys and values, never copies. Finished particles stay in the population. The answer is the particle with
/// the highest reward, or with `answer=vote` the vote of all, weighted.
///
/// Paper: A Probabilistic Inference Approach to Inference-Time Scaling of LLMs using Particle-Based Monte Carlo
/// Methods (Puri et al., 2025).
struct ParticleFilter: Strategy {
  static let id = "particle-filter"

  private let width: Int
  private let steps: Int
  private let temperature: Double
  private let delimiter: String
  private let votes: Bool

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    steps = try run.component.integer("steps")
    temperature = try run.component.number("temperature")
    delimiter = try run.stepDelimiter()
    votes = try run.component.text("answer") == "vote"
  }

  func run(_ run: RunContext) throws {
    var dice = Dice(run)
    var particles = try run.root().fork(width)
    var scores: [Double]?
    try run.untilRunEnds { () throws(PluginError) in
      for _ in 0..<steps {
        try run.advance(particles, Advance(delimiter: delimiter))
        let rewards = try run.score(particles)
        scores = rewards
        if try run.allFinished(particles) { return }
        let ancestors = Weights.systematic(
          Weights.normalized(rewards, temperature: temperature), count: width,
          uniform: try dice.uniform())
        particles = try run.resample(particles, ancestors: ancestors)
        scores = ancestors.map { rewards[$0] }
      }
      try run.advance(particles)
      scores = nil
    }
    let rewards = try scores ?? run.score(particles)
    if votes {
      try run.answerByVote(
        of: particles, weights: Weights.normalized(rewards, temperature: temperature))
    } else {
      try run.answerBest(of: particles, scores: rewards)
    }
  }
}
