/// Repeated measurements of one thing, in nanoseconds.
public struct Samples: Sendable, Equatable {
  /// As they were taken.
  public private(set) var nanoseconds: [Double] = []

  /// None yet, or these.
  public init(_ nanoseconds: [Double] = []) { self.nanoseconds = nanoseconds }

  /// Adds one.
  public mutating func append(_ value: Double) { nanoseconds.append(value) }

  /// The middle one, or the mean of the two in the middle; 0 without samples.
  public var median: Double { Self.median(nanoseconds) }

  /// The smallest; 0 without samples.
  public var minimum: Double { nanoseconds.min() ?? 0 }

  /// An interval that holds the true median with at least 95 % probability, whatever the
  /// distribution: order statistics at equal ranks from both ends (binomial with p = ½). With fewer
  /// than six samples no such ranks exist and the interval is that of all samples.
  public var interval: ClosedRange<Double> {
    let sorted = nanoseconds.sorted()
    guard let first = sorted.first, let last = sorted.last else { return 0...0 }
    let count = sorted.count
    // Probability that at most `rank` of `count` samples lie below the median.
    var term = 1.0
    for _ in 0..<count { term /= 2 }
    var below = term
    var rank = 0
    guard below <= 0.025 else { return first...last }
    while rank + 1 < count / 2 {
      term = term * Double(count - rank) / Double(rank + 1)
      guard below + term <= 0.025 else { break }
      below += term
      rank += 1
    }
    return sorted[rank]...sorted[count - 1 - rank]
  }

  static func median(_ values: [Double]) -> Double {
    guard !values.isEmpty else { return 0 }
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
}
