/// So many of so many, with 95 % intervals.
public struct Proportion: Sendable {
  public var right: Int
  public var of: Int

  /// `right` of `of`, both 0 or more.
  public init(right: Int, of: Int) {
    self.right = right
    self.of = of
  }

  private static let z = 1.959_963_984_540_054

  /// 0 where there is nothing.
  public var share: Double { Double(right) / Double(max(1, of)) }

  /// Wilson's score interval.
  public var interval: ClosedRange<Double> {
    guard of > 0 else { return 0...1 }
    let (p, n, z2) = (share, Double(of), Self.z * Self.z)
    let middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    let half = Self.z * (p * (1 - p) / n + z2 / (4 * n * n)).squareRoot() / (1 + z2 / n)
    return max(0, middle - half)...min(1, middle + half)
  }

  /// Of the difference of two shares on the same `of` problems, `gained` right only in the first and
  /// `lost` only in the second. Source: Agresti and Min, "Simple improved confidence intervals for
  /// comparing matched proportions".
  public static func difference(gained: Int, lost: Int, of: Int) -> ClosedRange<Double> {
    let (b, c, n) = (Double(gained) + 0.5, Double(lost) + 0.5, Double(of) + 2)
    let middle = (b - c) / n
    let half = z * (b + c - (b - c) * (b - c) / n).squareRoot() / n
    return max(-1, middle - half)...min(1, middle + half)
  }

  /// A mean and its normal interval, from samples.
  public static func mean(_ samples: [Double]) -> (mean: Double, interval: ClosedRange<Double>) {
    let n = Double(max(1, samples.count))
    let mean = samples.reduce(0, +) / n
    let squares = samples.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    let half = z * (squares / max(1, n - 1) / n).squareRoot()
    return (mean, mean - half...mean + half)
  }
}
