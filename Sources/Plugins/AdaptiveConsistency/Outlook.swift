import Glibc

/// How much of all probability lies in the paths seen so far.
struct Paths {
  private var seen: Set<String> = []
  /// The rest.
  private(set) var unseen = 1.0

  /// Counts a path and returns its probability; 0 for one that was seen or has no end.
  mutating func add(_ text: String, logprob: Double?) -> Double {
    guard let logprob, seen.insert(text).inserted else { return 0 }
    let probability = min(unseen, exp(logprob))
    unseen -= probability
    return probability
  }
}

/// What the votes cast so far say about the vote when all are in.
struct Outlook {
  private struct Option {
    var votes = 0.0
    var mass = 0.0
  }

  private let planned: Int
  private var options: [String: Option] = [:]
  private var order: [String] = []
  private var paths = Paths()
  private var votes = 0.0
  /// Answers looked at, those without a vote included.
  private(set) var count = 0

  init(planned: Int) { self.planned = planned }

  /// Counts a path to an answer; one without an answer or an end has no vote or no probability.
  mutating func add(_ answer: String?, text: String, logprob: Double?) {
    count += 1
    let probability = paths.add(text, logprob: logprob)
    guard let answer else { return }
    if options[answer] == nil { order.append(answer) }
    options[answer, default: Option()].votes += 1
    options[answer, default: Option()].mass += probability
    votes += 1
  }

  /// P(p > ½) for p ~ Beta(v₁ + 1, v₂ + 1): the chance of at most v₁ heads in v₁ + v₂ + 1 throws of a coin.
  var probabilityOfLead: Double {
    let leading = options.values.map(\.votes).sorted(by: >)
    let first = Int(leading.first ?? 0)
    let tosses = first + Int(leading.dropFirst().first ?? 0) + 1
    var term = pow(0.5, Double(tosses))
    var sum = term
    for heads in 0..<first {
      term *= Double(tosses - heads) / Double(heads + 1)
      sum += term
    }
    return sum
  }

  /// That the leader is ahead of every other when all planned answers are in: each difference of two final tallies is
  /// taken as normal with the mean and variance of Dirichlet-multinomial votes to come, one vote's worth kept for answers
  /// not seen yet, and the differences as independent.
  var probabilityOfStaying: Double {
    guard votes > 0 else { return 0 }
    let (left, prior) = (Double(max(0, planned - count)), 1.0)
    let total = votes + prior
    func tally(_ option: Option) -> Double { option.mass + paths.unseen * option.votes / votes }
    var leader = order[0]
    for answer in order where tally(options[answer]!) > tally(options[leader]!) { leader = answer }
    let first = options[leader]!
    var others = order.filter { $0 != leader }.map { options[$0]! }
    // Alone it is held against somebody who is still to come.
    if others.isEmpty { others = [Option(votes: 0, mass: 0)] }
    var chance = 1.0
    for other in others {
      let (p, q) = (first.votes / total, max(other.votes, others.count == 1 ? prior : 0) / total)
      let ahead =
        first.mass - other.mass
        + paths.unseen * (first.votes - other.votes + left * (p - q)) / (votes + left)
      let variance = left * (total + left) / (total + 1) * max(0, p + q - (p - q) * (p - q))
      let deviation = paths.unseen * variance.squareRoot() / (votes + left)
      chance *= deviation > 0 ? erfc(-ahead / deviation / 2.0.squareRoot()) / 2 : ahead >= 0 ? 1 : 0
    }
    return chance
  }
}
