import MartletKernels
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
    var weight: Float

    @inline(__always)
    func ranksBefore(_ other: Candidate) -> Bool {
      logit > other.logit || (logit == other.logit && id < other.id)
    }
  }

  private var ids: [Token] = []
  private var logits: [Float] = []
  private var weights: [Float] = []
  private var scratch: [Candidate] = []

  /// Starts with every token of finite logit at or above `floor`.
  mutating func gather(_ row: [Float], atLeast floor: Float) {
    ids.removeAll(keepingCapacity: true)
    logits.removeAll(keepingCapacity: true)
    let least = max(floor, -.greatestFiniteMagnitude)
    for i in 0..<row.count where row[i] >= least {
      ids.append(Token(truncatingIfNeeded: i))
      logits.append(row[i])
    }
  }

  /// Keeps the `k` highest-ranked.
  mutating func keepMostLikely(_ k: Int) {
    guard k < ids.count else { return }
    weights = [Float](repeating: 0, count: ids.count)
    fillScratch()
    var low = 0
    var high = scratch.count
    while high - low > 1 {
      let split = partition(low, high)
      if split >= k { high = split } else { low = split }
    }
    keep(through: scratch[low])
  }

  /// Sets every weight to exp((logit − maximum) / temperature).
  mutating func weigh(maximum: Float, temperature: Float) {
    Kernels.weigh(logits, maximum: maximum, temperature: temperature, into: &weights)
  }

  /// Keeps the fewest highest-ranked whose weights reach `fraction` of the whole.
  mutating func keepMass(_ fraction: Double) {
    fillScratch()
    let target = total * fraction
    var kept = 0.0
    var low = 0
    var high = scratch.count
    while high - low > 1 {
      let split = partition(low, high)
      var mass = 0.0
      for i in low..<split { mass += Double(scratch[i].weight) }
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
  mutating func keepWeight(atLeast floor: Float) {
    filter { $0.weight >= floor }
  }

  /// The token at `uniform` (0 ..< 1) of the cumulative weight, in order of id.
  func draw(_ uniform: Double) -> Token {
    let target = uniform * total
    var cumulative = 0.0
    var last = 0
    for i in 0..<weights.count where weights[i] > 0 {
      cumulative += Double(weights[i])
      last = i
      if cumulative > target { break }
    }
    return ids[last]
  }

  private var total: Double {
    var sum = 0.0
    for weight in weights { sum += Double(weight) }
    return sum
  }

  private mutating func fillScratch() {
    scratch.removeAll(keepingCapacity: true)
    for i in 0..<ids.count {
      scratch.append(Candidate(logit: logits[i], id: ids[i], weight: weights[i]))
    }
  }

  private mutating func keep(through last: Candidate) {
    filter { !last.ranksBefore($0) }
  }

  @inline(__always)
  private mutating func filter(_ keeps: (Candidate) -> Bool) {
    var count = 0
    for i in 0..<ids.count
    where keeps(Candidate(logit: logits[i], id: ids[i], weight: weights[i])) {
      ids[count] = ids[i]
      logits[count] = logits[i]
      weights[count] = weights[i]
      count += 1
    }
    ids.removeLast(ids.count - count)
    logits.removeLast(logits.count - count)
    weights.removeLast(weights.count - count)
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
