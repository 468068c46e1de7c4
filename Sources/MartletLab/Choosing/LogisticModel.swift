import Foundation

/// Logistic regression of shares on features, by Newton's method on the penalised likelihood.
struct LogisticModel: Sendable {
  /// The intercept, then one per feature.
  let weights: [Double]

  /// Fits; each row is its features, how many came right and of how many. O(rows · features²) per step.
  /// - Parameter ridge: keeps weights finite where features separate the rows.
  init(_ rows: [(features: [Double], right: Double, drawn: Double)], ridge: Double = 0.1) {
    let count = 1 + (rows.first?.features.count ?? 0)
    var weights = [Double](repeating: 0, count: count)
    for _ in 0..<50 {
      var gradient = weights.map { -ridge * $0 }
      var curvature = [[Double]](repeating: [Double](repeating: 0, count: count), count: count)
      for i in 0..<count { curvature[i][i] = ridge }
      for row in rows {
        let x = [1] + row.features
        let p = Self.logistic(zip(weights, x).reduce(0) { $0 + $1.0 * $1.1 })
        for i in 0..<count {
          gradient[i] += (row.right - row.drawn * p) * x[i]
          for j in 0..<count { curvature[i][j] += row.drawn * p * (1 - p) * x[i] * x[j] }
        }
      }
      let step = Self.solve(curvature, gradient)
      for i in 0..<count { weights[i] += step[i] }
      if step.allSatisfy({ abs($0) < 1e-9 }) { break }
    }
    self.weights = weights
  }

  func chance(_ features: [Double]) -> Double {
    Self.logistic(zip(weights, [1] + features).reduce(0) { $0 + $1.0 * $1.1 })
  }

  private static func logistic(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  /// Solves a·x = b for a symmetric positive definite `a`, by elimination.
  private static func solve(_ a: [[Double]], _ b: [Double]) -> [Double] {
    var (a, b) = (a, b)
    let count = b.count
    for i in 0..<count {
      for row in (i + 1)..<max(count, i + 1) {
        let factor = a[row][i] / a[i][i]
        for column in i..<count { a[row][column] -= factor * a[i][column] }
        b[row] -= factor * b[i]
      }
    }
    for i in stride(from: count - 1, through: 0, by: -1) {
      for column in (i + 1)..<max(count, i + 1) { b[i] -= a[i][column] * b[column] }
      b[i] /= a[i][i]
    }
    return b
  }
}
