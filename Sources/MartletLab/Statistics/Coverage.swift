import Foundation

/// How often at least one of k candidates is right.
public struct Coverage: Sendable, Equatable, Encodable {
  /// pass@k for one k.
  public struct Point: Sendable, Equatable, Encodable {
    public let k: Int
    public let share: Estimate
  }

  /// For powers of two up to the fewest candidates of any run, and that number itself.
  public let points: [Point]
  /// The law fitted to them; nil where fewer than two points lie between 0 and 1.
  public let law: CoverageLaw?

  /// Coverage of candidates.
  /// - Parameter runs: by problem, how many candidates each run had, and how many were right.
  /// - Returns: nil where some run has fewer than two.
  package init?(_ runs: [[(candidates: Int, right: Int)]]) {
    guard let most = runs.joined().map(\.candidates).min(), most >= 2 else { return nil }
    var counts = Array(sequence(first: 1) { $0 * 2 <= most ? $0 * 2 : nil })
    if counts.last != most { counts.append(most) }
    points = counts.map { k in
      let groups = runs.map { $0.map { Self.passAt(k, of: $0.candidates, right: $0.right) } }
      return Point(k: k, share: .share(ofGroups: groups))
    }
    law = CoverageLaw(fitting: points.map { (Double($0.k), $0.share.mean) })
  }

  /// The unbiased estimate of pass@k from n candidates: 1 - C(n-c, k) / C(n, k). Source: "Evaluating
  /// Large Language Models Trained on Code" (Chen et al., 2021).
  package static func passAt(_ k: Int, of n: Int, right c: Int) -> Double {
    guard n - c >= k else { return 1 }
    var missing = 1.0
    for index in stride(from: n - c + 1, through: n, by: 1) {
      missing *= 1 - Double(k) / Double(index)
    }
    return 1 - missing
  }
}

/// Coverage as an exponentiated power law, c(k) = exp(a · k^b), a and b below 0. Source: "Large Language
/// Monkeys: Scaling Inference Compute with Repeated Sampling" (Brown et al., 2024).
public struct CoverageLaw: Sendable, Equatable, Encodable {
  public let a: Double
  public let b: Double
  /// The share of the variance of log(-log c) that the law explains.
  public let fit: Double

  /// Least squares of log(-log c) on log k, over the points between 0 and 1.
  package init?(fitting points: [(k: Double, coverage: Double)]) {
    let usable = points.filter { $0.coverage > 0 && $0.coverage < 1 }
    guard usable.count >= 2 else { return nil }
    let x = usable.map { log($0.k) }
    let y = usable.map { log(-log($0.coverage)) }
    let (meanX, meanY) = (x.reduce(0, +) / Double(x.count), y.reduce(0, +) / Double(y.count))
    let squares = x.reduce(0) { $0 + ($1 - meanX) * ($1 - meanX) }
    let products = zip(x, y).reduce(0) { $0 + ($1.0 - meanX) * ($1.1 - meanY) }
    b = products / squares
    a = -exp(meanY - b * meanX)
    let total = y.reduce(0) { $0 + ($1 - meanY) * ($1 - meanY) }
    fit = total > 0 ? products * products / squares / total : 1
  }

  /// What it expects of k candidates.
  package func coverage(_ k: Double) -> Double { exp(a * pow(k, b)) }
}
