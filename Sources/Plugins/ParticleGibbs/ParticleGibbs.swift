import MartletPlugin

/// Particle Gibbs with a process reward: particle filtering again and again, each time with the last answer kept as
/// one of the particles, so that later sweeps are drawn around what earlier ones found.
///
/// In each sweep n particles grow by steps and are resampled in proportion to exp(reward / temperature); the
/// reference particle keeps its own text, cut to as many steps as the others have, and always survives resampling. A
/// particle drawn by its final weight is the next reference. All final particles of all sweeps are candidates, and the
/// one with the highest reward is the answer.
///
/// Papers: A Probabilistic Inference Approach to Inference-Time Scaling of LLMs using Particle-Based Monte Carlo
/// Methods (Puri et al., 2025), its particle Gibbs; conditional SMC as in Particle Markov chain Monte Carlo methods
/// (Andrieu et al., 2010).
struct ParticleGibbs: Strategy {
  static let id = "particle-gibbs"

  private let width: Int
  private let sweeps: Int
  private let steps: Int
  private let temperature: Double
  private let delimiter: String

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    sweeps = try run.component.integer("sweeps")
    steps = try run.component.integer("steps")
    temperature = try run.component.number("temperature")
    delimiter = try run.stepDelimiter()
  }

  /// The answer that the next sweep is conditioned on: its branch, and how many tokens it had after each step.
  private struct Reference {
    let branch: Branch
    let lengths: [Int]
  }

  func run(_ run: RunContext) throws {
    var dice = Dice(run)
    var reference: Reference?
    var best: Double?
    try run.untilRunEnds { () throws(PluginError) in
      for _ in 0..<sweeps {
        let (particles, lengths, end) = try sweep(reference, &dice, run)
        let rewards = try run.score(particles)
        for (particle, reward) in zip(particles, rewards) {
          let candidate = try run.candidate(particle, score: reward)
          if best.map({ reward > $0 }) ?? true {
            best = reward
            try run.answer(candidate)
          }
        }
        if let end { throw end }
        let chosen = try dice.index(
          weights: Weights.normalized(rewards, temperature: temperature))
        for (index, particle) in particles.enumerated() where index != chosen {
          try particle.release()
        }
        try reference?.branch.release()
        reference = Reference(branch: particles[chosen], lengths: lengths[chosen])
      }
    }
  }

  /// One sweep; the reference is particle 0.
  private func sweep(
    _ reference: Reference?, _ dice: inout Dice, _ run: RunContext
  ) throws(PluginError) -> (particles: [Branch], lengths: [[Int]], end: PluginError?) {
    var particles = try run.root().fork(reference == nil ? width : width - 1)
    var lengths: [[Int]] = particles.map { _ in [] }
    if let reference {
      particles.insert(try reference.branch.fork(1)[0], at: 0)
      lengths.insert(reference.lengths, at: 0)
    }
    let first = reference == nil ? 0 : 1
    let end = try run.untilRunEnds { () throws(PluginError) in
      for step in 0..<steps {
        try run.advance(Array(particles[first...]), Advance(delimiter: delimiter))
        for index in first..<particles.count {
          lengths[index].append(try particles[index].state().generatedTokens)
        }
        if try run.allFinished(Array(particles[first...])) { return }
        var judged = particles
        var cut: Branch?
        if let reference {
          // The reference as it was when it had as many steps.
          let part = try reference.branch.reopened()
          let length = step < reference.lengths.count ? reference.lengths[step] : .max
          let have = try part.state().generatedTokens
          if length < have { try part.truncate(toGenerated: length) }
          judged[0] = part
          cut = part
        }
        let weights = Weights.normalized(try run.score(judged), temperature: temperature)
        try cut?.release()
        var ancestors = Weights.systematic(
          weights, count: particles.count, uniform: try dice.uniform())
        if reference != nil { ancestors[0] = 0 }
        // Copies of the reference go on from where it was at this step.
        let before = (particles, lengths)
        particles = try run.resample(particles, ancestors: ancestors)
        lengths = ancestors.map { before.1[$0] }
        if let reference {
          for index in 1..<particles.count where ancestors[index] == 0 {
            let length = step < reference.lengths.count ? reference.lengths[step] : .max
            let have = try particles[index].state().generatedTokens
            if length < have { try particles[index].truncate(toGenerated: length) }
            lengths[index] = Array(reference.lengths.prefix(step + 1))
          }
        }
      }
      try run.advance(Array(particles[first...]))
    }
    return (particles, lengths, end)
  }
}
