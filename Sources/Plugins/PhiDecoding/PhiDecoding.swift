import Glibc
import MartletPlugin

/// Foresight sampling (φ-decoding): each step is chosen by what would come after it, as a joint draw from the gain
/// in probability it brings and from how many other futures it agrees with.
///
/// Every beam tries `expand` next steps; each is looked ahead `foresight` tokens. The advantage of a step is the rise
/// of the mean log-probability of its future over its beam's last one; the futures are clustered by their words
/// (overlap of at least `overlap`), and a cluster's part of them is its members' alignment. Beams are drawn from the
/// mean of the two distributions. In width, candidates whose log-probability is below the mean by more than one
/// deviation are not looked ahead; in depth, a step whose largest cluster has at least `agreement` of the futures ends
/// the search, and the beams run on to their end.
///
/// Paper: φ-Decoding: Adaptive Foresight Sampling for Balanced Inference-Time Exploration and Exploitation (Xu et al.,
/// 2025). There futures are clustered by TF-IDF vectors; here by the overlap of their words.
struct PhiDecoding: Strategy {
  static let id = "phi-decoding"

  private let beams: StepBeams
  private let foresight: Int
  private let overlap: Double
  private let agreement: Double
  private let temperature: Double

  init(_ run: RunContext) throws {
    beams = try StepBeams(run)
    foresight = try run.component.integer("foresight")
    overlap = try run.component.number("overlap")
    agreement = try run.component.number("agreement")
    temperature = try run.component.number("temperature")
  }

  private struct Candidate {
    let branch: Branch
    let before: Double
    var future = 0.0
    var words: Set<String> = []
  }

  func run(_ run: RunContext) throws {
    var dice = Dice(run)
    var kept = [(branch: try run.root().fork(1)[0], future: 0.0)]
    var finished: [Branch] = []
    var looked = 0
    try run.untilRunEnds { () throws(PluginError) in
      for _ in 0..<beams.steps {
        var candidates: [Candidate] = []
        for (branch, future) in kept {
          for child in try branch.fork(kept.count == 1 ? beams.width * beams.expand : beams.expand)
          {
            candidates.append(Candidate(branch: child, before: future))
          }
          try branch.release()
        }
        kept = candidates.map { ($0.branch, $0.before) }
        try run.advance(candidates.map(\.branch), beams.advance)
        candidates = try pruned(candidates)
        kept = candidates.map { ($0.branch, $0.before) }
        looked += candidates.count
        try look(&candidates, run)

        let clusters = cluster(candidates)
        let gains = Weights.normalized(
          candidates.map { ($0.future - $0.before) / temperature })
        let alignments = Weights.normalized(clusters.parts.map { log($0) })
        let chance = zip(gains, alignments).map { ($0 + $1) / 2 }
        let chosen = try draw(chance, &dice)
        var next: [(branch: Branch, future: Double)] = []
        for (index, candidate) in candidates.enumerated() {
          if !chosen.contains(index) {
            try candidate.branch.release()
          } else if try candidate.branch.state().isFinished {
            finished.append(candidate.branch)
          } else {
            next.append((candidate.branch, candidate.future))
          }
        }
        kept = next
        if kept.isEmpty || clusters.largest >= agreement { break }
      }
      if !kept.isEmpty { try run.advance(kept.map(\.branch)) }
    }
    let last = finished + kept.map(\.branch)
    guard !last.isEmpty else { return }
    try run.answerByVote(of: last)
    try run.component.trace("foresight", ["looked": .integer(looked)])
  }

  /// Those whose text so far is not much less likely than the others'.
  private func pruned(_ candidates: [Candidate]) throws(PluginError) -> [Candidate] {
    var means: [Double] = []
    for candidate in candidates {
      let state = try candidate.branch.state()
      means.append(state.logprob / Double(max(1, state.generatedTokens)))
    }
    let mean = means.reduce(0, +) / Double(means.count)
    let deviation =
      (means.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(means.count)).squareRoot()
    var kept: [Candidate] = []
    for (candidate, value) in zip(candidates, means) {
      if value >= mean - deviation - 1e-12 {
        kept.append(candidate)
      } else {
        try candidate.branch.release()
      }
    }
    return kept
  }

  /// Looks ahead from every candidate, all together.
  private func look(
    _ candidates: inout [Candidate], _ run: RunContext
  ) throws(PluginError) {
    var futures: [Attempt] = []
    for candidate in candidates {
      futures.append(try Attempt(in: try candidate.branch.fork(1)[0]))
    }
    let end = try run.untilRunEnds { () throws(PluginError) in
      try run.advance(futures.map(\.branch), Advance(maxTokens: foresight))
    }
    for (index, future) in futures.enumerated() {
      let state = try future.branch.state()
      candidates[index].future = state.logprob / Double(max(1, state.generatedTokens))
      candidates[index].words = Set(
        try future.text().split { $0.isWhitespace }.map(String.init))
      try future.branch.release()
    }
    if let end { throw end }
  }

  /// Each candidate's cluster as a part of all, and the largest part. A future joins the first cluster whose
  /// founder shares enough of its words.
  private func cluster(_ candidates: [Candidate]) -> (parts: [Double], largest: Double) {
    var founders: [Int] = []
    var members: [Int] = []
    for (index, candidate) in candidates.enumerated() {
      let home = founders.firstIndex { founder in
        let (a, b) = (candidates[founder].words, candidate.words)
        let union = a.union(b).count
        return union == 0 || Double(a.intersection(b).count) / Double(union) >= overlap
      }
      members.append(home ?? founders.count)
      if home == nil { founders.append(index) }
    }
    let sizes = founders.indices.map { cluster in members.count { $0 == cluster } }
    let parts = members.map { Double(sizes[$0]) / Double(candidates.count) }
    return (parts, parts.max() ?? 1)
  }

  /// Indices without replacement, in proportion to chance.
  private func draw(_ chance: [Double], _ dice: inout Dice) throws(PluginError) -> Set<Int> {
    var left = chance
    var chosen: Set<Int> = []
    while chosen.count < min(beams.width, chance.count) {
      let index = try dice.index(weights: left)
      chosen.insert(index)
      left[index] = 0
      if left.allSatisfy({ $0 <= 0 }) { break }
    }
    return chosen
  }
}
