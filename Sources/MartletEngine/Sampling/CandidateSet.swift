import MartletModel

/// The tokens that are still in the draw, in order of id, with their logits and weights.
///
/// Cuts find the last token to keep by partial selection and filter in place, so the order by id
/// survives without sorting. Tokens rank by logit, then by lower id.
struct CandidateSet: Sendable {
  private struct Candidate {
    var logit: Float
    var id: Token
    /// Relative to the most likely token's 1.
    var weight: Double

    func ranksBefore(_ other: Candidate) -> Bool {
      logit > other.logit || (logit == other.logit && id < other.id)
    }
  }

  private var members: [Candidate] = []
  private var scratch: [Candidate] = []

  /// Starts with every token of finite logit at or above `floor`.
  mutating func gather(_ logits: [Float], atLeast floor: Float) {
    members.removeAll(keepingCapacity: true)
    for i in 0..<logits.count where logits[i] >= floor && logits[i] > -.infinity {
      members.append(Candidate(logit: logits[i], id: Token(i), weight: 0))
    }
  }

  /// Keeps the `k` highest-ranked.
  mutating func keepMostLikely(_ k: Int) {
    guard k < members.count else { return }
    scratch = members
    var low = 0
    var high = scratch.count
    while high - low > 1 {
      let split = partition(low, high)
      if split >= k { high = split } else { low = split }
    }
    keep(through: scratch[low])
  }

  /// Sets every weight to exp((logit − maximum) / temperature).
  mutating func weigh(maximum: Double, temperature: Double) {
    var i = 0
    while i < members.count {
      let lanes = min(4, members.count - i)
      var x = SIMD4<Double>.zero
      for lane in 0..<lanes {
        x[lane] = (Double(members[i + lane].logit) - maximum) / temperature
      }
      let e = PortableMath.exp(x)
      for lane in 0..<lanes { members[i + lane].weight = e[lane] }
      i += 4
    }
  }

  /// Keeps the fewest highest-ranked whose weights reach `fraction` of the whole.
  mutating func keepMass(_ fraction: Double) {
    scratch = members
    let target = members.reduce(0) { $0 + $1.weight } * fraction
    var kept = 0.0
    var low = 0
    var high = scratch.count
    while high - low > 1 {
      let split = partition(low, high)
      let mass = scratch[low..<split].reduce(0) { $0 + $1.weight }
      if kept + mass >= target {
        high = split
      } else {
        kept += mass
        low = split
      }
    }
    keep(through: scratch[low])
  }

  /// Keeps weights of at least `floor`; the most likely token always stays.
  mutating func keepWeight(atLeast floor: Double) {
    members.removeAll { $0.weight < floor }
  }

  /// The token at `uniform` (0 ..< 1) of the cumulative weight, in order of id.
  func draw(_ uniform: Double) -> Token {
    let total = members.reduce(0) { $0 + $1.weight }
    let target = uniform * total
    var cumulative = 0.0
    var last = members[0].id
    for candidate in members where candidate.weight > 0 {
      cumulative += candidate.weight
      last = candidate.id
      if cumulative > target { break }
    }
    return last
  }

  private mutating func keep(through last: Candidate) {
    members.removeAll { last.ranksBefore($0) }
  }

  /// Divides scratch[low..<high], two elements or more, into higher ranks and lower ranks; returns
  /// where the lower begin, strictly inside. The pivot is the median of three.
  private mutating func partition(_ low: Int, _ high: Int) -> Int {
    let pivot = median(scratch[low], scratch[low + (high - low) / 2], scratch[high - 1])
    var i = low
    var j = high - 1
    while true {
      while scratch[i].ranksBefore(pivot) { i += 1 }
      while pivot.ranksBefore(scratch[j]) { j -= 1 }
      if i >= j { return max(i, low + 1) }
      scratch.swapAt(i, j)
      i += 1
      j -= 1
      if i > j { return i }
    }
  }

  private func median(_ a: Candidate, _ b: Candidate, _ c: Candidate) -> Candidate {
    if a.ranksBefore(b) {
      return b.ranksBefore(c) ? b : (a.ranksBefore(c) ? c : a)
    }
    return a.ranksBefore(c) ? a : (b.ranksBefore(c) ? c : b)
  }
}
