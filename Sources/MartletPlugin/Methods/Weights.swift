import Glibc

/// Weights of a population in logarithms, and what is drawn by them.
public enum Weights {
  /// log Σ exp(v); −∞ for an empty list.
  public static func logSum(_ values: [Double]) -> Double {
    guard let top = values.max(), top > -.infinity else { return -.infinity }
    return top + log(values.reduce(0) { $0 + exp($1 - top) })
  }

  /// exp(v / temperature), normalised; all the same where every value is −∞.
  public static func normalized(_ values: [Double], temperature: Double = 1) -> [Double] {
    let scaled = values.map { $0 / temperature }
    let total = logSum(scaled)
    guard total > -.infinity else {
      return values.map { _ in 1 / Double(max(1, values.count)) }
    }
    return scaled.map { exp($0 - total) }
  }

  /// How many equal weights say as much as these normalised ones: 1 / Σ w².
  public static func effectiveSize(_ weights: [Double]) -> Double {
    1 / weights.reduce(0) { $0 + $1 * $1 }
  }

  /// Ancestors by systematic resampling: index i appears ⌊n·wᵢ⌋ or ⌈n·wᵢ⌉ times, n·wᵢ on average, so
  /// that resampling is unbiased (source: "Comparison of Resampling Schemes for Particle Filtering").
  ///
  /// - Parameters:
  ///   - weights: normalised.
  ///   - uniform: in 0 ..< 1.
  public static func systematic(_ weights: [Double], count: Int, uniform: Double) -> [Int] {
    var ancestors: [Int] = []
    var (index, sum) = (0, weights.first ?? 0)
    for place in 0..<count {
      let mark = (Double(place) + uniform) / Double(count)
      while mark >= sum, index + 1 < weights.count {
        index += 1
        sum += weights[index]
      }
      ancestors.append(index)
    }
    return ancestors
  }

  /// Indices in order of value, the highest first; ties by index.
  public static func order(_ values: [Double]) -> [Int] {
    values.indices.sorted { (values[$0], $1) > (values[$1], $0) }
  }
}
