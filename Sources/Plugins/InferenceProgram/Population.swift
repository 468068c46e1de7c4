import MartletPlugin

/// Partial answers that a program works on.
struct Population {
  private struct Particle {
    var branch: Branch
    var score: Double?
    var logWeight = 0.0
    /// Fulfils what was required so far.
    var isAdmitted = true

    var weight: Double { isAdmitted ? logWeight : -.infinity }
  }

  private let run: RunContext
  private let most: Int
  private var dice: Dice
  private var particles: [Particle] = []
  /// Statements executed.
  private(set) var done = 0

  /// - Parameter operations: most statements to execute.
  init(operations: Int, dice: Dice, _ run: RunContext) {
    (most, self.dice, self.run) = (operations, dice, run)
  }

  /// One branch that holds the prompt.
  mutating func begin() throws(PluginError) {
    particles = [Particle(branch: try run.root().fork(1)[0])]
  }

  mutating func execute(_ statements: [Statement]) throws(PluginError) {
    for statement in statements where done < most {
      done += 1
      try execute(statement)
    }
  }

  private mutating func execute(_ statement: Statement) throws(PluginError) {
    switch statement {
    case .fork(let count): try fork(count)
    case .step(let delimiters, let tokens, let sampling):
      try advance(Advance(maxTokens: tokens, delimiters: delimiters, sampling: sampling))
    case .finish: try advance(Advance())
    case .append(let text):
      for particle in particles where try !particle.branch.state().isFinished {
        try particle.branch.append(text)
      }
    case .score(let scorer, let temperature): try score(scorer, temperature)
    case .require(let text, let isPresent):
      for index in particles.indices {
        let own = try particles[index].branch.text()
        if (text.isEmpty || own.cut(at: text) != nil) != isPresent {
          particles[index].isAdmitted = false
        }
      }
    case .resample(let part): try resample(below: part)
    case .keep(let count): try keep(count)
    case .repeated(let count, let body):
      for _ in 0..<count where done < most { try execute(body) }
    case .whiles(let condition, let body):
      while done < most, try holds(condition) {
        // An empty body counts too, or the loop would not end.
        done += 1
        try execute(body)
      }
    case .ifs(let condition, let body):
      if try holds(condition) { try execute(body) }
    }
  }

  /// Branches cost no tokens; this bounds what a program may hold.
  private static let most = 4096

  private mutating func fork(_ count: Int) throws(PluginError) {
    guard particles.count * count <= Self.most else {
      throw PluginError(
        .argument,
        "fork \(count) would make \(particles.count * count) branches; a program has at most \(Self.most)"
      )
    }
    var children: [Particle] = []
    for particle in particles {
      for branch in try particle.branch.fork(count) {
        var child = particle
        child.branch = branch
        children.append(child)
      }
    }
    for particle in particles { try particle.branch.release() }
    particles = children
  }

  private func advance(_ advance: Advance) throws(PluginError) {
    var open: [Branch] = []
    for particle in particles where try !particle.branch.state().isFinished {
      open.append(particle.branch)
    }
    if !open.isEmpty { try run.advance(open, advance) }
  }

  private mutating func score(_ scorer: String?, _ temperature: Double) throws(PluginError) {
    let branches = particles.map(\.branch)
    let scores: [Double]
    if let scorer {
      scores = try run.score(branches, by: scorer)
    } else {
      scores = try run.score(branches)
    }
    for (index, score) in scores.enumerated() {
      particles[index].score = score
      particles[index].logWeight = score / temperature
    }
  }

  private mutating func resample(below part: Double) throws(PluginError) {
    let weights = Weights.normalized(particles.map(\.weight))
    // At 1 always, even where all weigh alike, as its name says.
    if part < 1, Weights.effectiveSize(weights) >= part * Double(weights.count) { return }
    let ancestors = Weights.systematic(
      weights, count: particles.count, uniform: try dice.uniform())
    let branches = try run.resample(particles.map(\.branch), ancestors: ancestors)
    particles = zip(branches, ancestors).map { branch, ancestor in
      var particle = particles[ancestor]
      particle.branch = branch
      particle.logWeight = 0
      return particle
    }
  }

  private mutating func keep(_ count: Int) throws(PluginError) {
    let order = try self.order()
    for index in order.dropFirst(count) { try particles[index].branch.release() }
    particles = order.prefix(count).sorted().map { particles[$0] }
  }

  /// Admitted ones first, then by score, then by log-probability.
  private func order() throws(PluginError) -> [Int] {
    var keys: [(Int, Double, Double)] = []
    for particle in particles {
      keys.append(
        (
          particle.isAdmitted ? 1 : 0, particle.score ?? -.infinity,
          try particle.branch.state().logprob
        ))
    }
    return particles.indices.sorted { a, b in
      keys[a] == keys[b] ? a < b : keys[a] > keys[b]
    }
  }

  private func holds(_ condition: Condition) throws(PluginError) -> Bool {
    switch condition {
    case .unfinished:
      for particle in particles where try !particle.branch.state().isFinished { return true }
      return false
    case .bestBelow(let limit):
      return particles.allSatisfy { !$0.isAdmitted || ($0.score ?? -.infinity) < limit }
    case .agreementBelow(let limit):
      var counts: [String: Int] = [:]
      for particle in particles where particle.isAdmitted {
        if let answer = try particle.branch.extract() { counts[answer, default: 0] += 1 }
      }
      return Double(counts.values.max() ?? 0) < limit * Double(particles.count)
    }
  }

  /// Names the answer as the program says, else the best where anything was scored, else by vote. Those that are not
  /// admitted count only where nobody is.
  mutating func conclude(_ conclusion: Conclusion?) throws(PluginError) {
    let admitted = particles.filter(\.isAdmitted)
    let pool = admitted.isEmpty ? particles : admitted
    guard !pool.isEmpty else { return }
    let branches = pool.map(\.branch)
    let weights = Weights.normalized(pool.map(\.logWeight))
    let isScored = pool.contains { $0.score != nil }
    switch conclusion ?? (isScored ? .best : .vote) {
    case .vote: try run.answerByVote(of: branches)
    case .weighted: try run.answerByVote(of: branches, weights: weights)
    case .best:
      let scores = isScored ? pool.map { $0.score ?? -1e300 } : try run.score(branches)
      try run.answerBest(of: branches, scores: scores)
    case .draw:
      let drawn = try dice.index(weights: weights)
      for (index, branch) in branches.enumerated() {
        let candidate = try run.candidate(branch, score: weights[index])
        if index == drawn { try run.answer(candidate) }
      }
    }
  }
}
