/// A mean with its 95 % interval.
public struct Estimate: Sendable, Equatable, Encodable {
  public let mean: Double
  public let low: Double
  public let high: Double

  static let z = 1.959963984540054

  /// Wilson's score interval of a share; it holds for few trials and for shares near 0 and 1. Source:
  /// "Probable Inference, the Law of Succession, and Statistical Inference" (Wilson, 1927).
  /// - Parameter trials: may be a fraction: an effective number.
  public static func share(_ mean: Double, of trials: Double) -> Estimate {
    guard trials > 0 else { return Estimate(mean: 0, low: 0, high: 1) }
    let square = z * z / trials
    let centre = (mean + square / 2) / (1 + square)
    let half = z / (1 + square) * (mean * (1 - mean) / trials + square / trials / 4).squareRoot()
    return Estimate(
      mean: mean, low: min(mean, max(0, centre - half)), high: max(mean, min(1, centre + half)))
  }

  /// The mean of values from 0 to 1, in groups whose values hang together: the runs of one problem.
  ///
  /// Wilson's interval with the number of trials that would vary as much as the groups do (the design
  /// effect), at least the number of groups where they do not differ at all.
  public static func share(ofGroups groups: [[Double]]) -> Estimate {
    let all = groups.joined()
    guard !all.isEmpty else { return Estimate(mean: 0, low: 0, high: 1) }
    let mean = all.reduce(0, +) / Double(all.count)
    let variance = variance(ofMean: mean, groups)
    let isSingle = groups.allSatisfy { $0.count == 1 }
    let isWhole = all.allSatisfy { $0 == 0 || $0 == 1 }
    if isSingle, isWhole { return share(mean, of: Double(groups.count)) }
    let trials = variance > 0 ? mean * (1 - mean) / variance : Double(groups.count)
    // Groups of whole values say at most what their values would if each stood alone.
    return share(mean, of: isWhole ? min(trials, Double(all.count)) : trials)
  }

  /// The mean of any values, in groups, with a normal interval.
  public static func mean(ofGroups groups: [[Double]]) -> Estimate {
    let all = groups.joined()
    guard !all.isEmpty else { return Estimate(mean: 0, low: 0, high: 0) }
    let mean = all.reduce(0, +) / Double(all.count)
    let half = z * variance(ofMean: mean, groups).squareRoot()
    return Estimate(mean: mean, low: mean - half, high: mean + half)
  }

  /// The variance of the mean of all values when groups are drawn anew.
  private static func variance(ofMean mean: Double, _ groups: [[Double]]) -> Double {
    let count = Double(groups.count)
    guard count > 1 else { return 0 }
    let total = Double(groups.reduce(0) { $0 + $1.count })
    let squares = groups.reduce(0.0) { sum, group in
      let deviation = group.reduce(0) { $0 + $1 - mean }
      return sum + deviation * deviation
    }
    return squares / (total * total) * count / (count - 1)
  }
}
