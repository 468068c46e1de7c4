import MartletPlugin

/// Entropic particle filtering: particle filtering that stays broad early on, by a temperature that depends on how
/// concentrated the weights are.
///
/// Weights are exp(reward / (temperature · heat)). While less than half of `steps` are done and the effective number of
/// particles would fall below `diversity` · n, heat is raised until it does not, so that an early favourite cannot take
/// over the population before rewards mean much; later heat is 1. Resampling is systematic.
///
/// Paper: Mitigating Premature Exploitation in Particle-based Monte Carlo for Inference-Time Scaling (Giannone et al.,
/// 2025), its entropic annealing; its look-ahead is not part of this.
struct AnnealedParticles: Strategy {
  static let id = "entropic-particle-filter"

  private let width: Int
  private let steps: Int
  private let temperature: Double
  private let diversity: Double
  private let delimiter: String

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    steps = try run.component.integer("steps")
    temperature = try run.component.number("temperature")
    diversity = try run.component.number("diversity")
    delimiter = try run.stepDelimiter()
  }

  func run(_ run: RunContext) throws {
    var dice = Dice(run)
    var particles = try run.root().fork(width)
    var heated = 0
    try run.untilRunEnds { () throws(PluginError) in
      for step in 0..<steps {
        try run.advance(particles, Advance(delimiter: delimiter))
        if try run.allFinished(particles) { return }
        let rewards = try run.score(particles)
        var heat = 1.0
        var weights = Weights.normalized(rewards, temperature: temperature)
        while step * 2 < steps, heat < 1024,
          Weights.effectiveSize(weights) < diversity * Double(width)
        {
          heat *= 1.25
          weights = Weights.normalized(rewards, temperature: temperature * heat)
        }
        if heat > 1 { heated += 1 }
        let ancestors = Weights.systematic(
          weights, count: width, uniform: try dice.uniform())
        particles = try run.resample(particles, ancestors: ancestors)
      }
      try run.advance(particles)
    }
    try run.answerBest(of: particles, scores: try run.score(particles))
    try run.component.trace("annealed", ["steps": .integer(heated)])
  }
}
