import MartletPlugin

/// Adaptive self-consistency: answers are generated a few at a time until it is likely enough that the
/// leading one would stay so.
///
/// After each batch the two leading answers with v₁ and v₂ votes give the probability that the first is
/// really the more frequent, P(p > ½) with p ~ Beta(v₁ + 1, v₂ + 1).
///
/// Paper: Let's Sample Step by Step: Adaptive-Consistency for Efficient Reasoning and Coding with LLMs
/// (Aggarwal et al., 2023), with its Beta stopping criterion.
struct AdaptiveConsistency: Strategy {
  static let id = "adaptive-consistency"

  private let most: Int
  private let batch: Int
  private let threshold: Double

  init(_ run: RunContext) throws {
    most = try run.component.integer("n")
    batch = try run.component.integer("batch")
    threshold = try run.component.number("threshold")
  }

  func run(_ run: RunContext) throws {
    let root = try run.root()
    var branches: [Branch] = []
    var counts: [String: Int] = [:]
    var certainty = 0.0
    try run.untilRunEnds { () throws(PluginError) in
      while branches.count < most, certainty < threshold {
        let next = try root.fork(min(batch, most - branches.count))
        branches += next
        try run.advance(next)
        for branch in next {
          if let answer = try branch.extract() { counts[answer, default: 0] += 1 }
        }
        let leading = counts.values.sorted(by: >)
        certainty = Self.probabilityOfLead(leading.first ?? 0, leading.dropFirst().first ?? 0)
      }
    }
    try run.answerByVote(of: branches)
    try run.component.trace(
      "certain", ["samples": .integer(branches.count), "certainty": .number(certainty)])
  }

  /// P(p > ½) for p ~ Beta(first + 1, second + 1): the chance of at most `first` heads in
  /// first + second + 1 throws of a coin.
  static func probabilityOfLead(_ first: Int, _ second: Int) -> Double {
    let tosses = first + second + 1
    var term = 1.0
    for _ in 0..<tosses { term /= 2 }
    var sum = term
    for heads in 0..<first {
      term *= Double(tosses - heads) / Double(heads + 1)
      sum += term
    }
    return sum
  }
}
