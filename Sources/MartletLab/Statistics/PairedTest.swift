import Foundation

/// Two strategies on the same problems.
package struct PairedTest: Sendable {
  /// The runs of one problem under both: how many each got right, of how many.
  package struct Pair: Sendable, Equatable {
    package let first: Int
    package let second: Int
    package let runs: Int

    package init(first: Int, second: Int, runs: Int) {
      (self.first, self.second, self.runs) = (first, second, runs)
    }
  }

  package let pairs: [Pair]

  package init(pairs: [Pair]) { self.pairs = pairs }

  /// The share of runs that the first got right, less that of the second.
  package var difference: Double {
    let runs = pairs.reduce(0) { $0 + $1.runs }
    return runs == 0 ? 0 : Double(pairs.reduce(0) { $0 + $1.first - $1.second }) / Double(runs)
  }

  /// The probability, were both alike, of a difference at least this large either way.
  ///
  /// Exact: every sign of every problem's difference is as likely as the other. With one run per
  /// problem this is McNemar's exact test. O(n · Σ|difference|).
  package var pValue: Double {
    let steps = pairs.map { abs($0.first - $0.second) }.filter { $0 > 0 }
    let observed = abs(pairs.reduce(0) { $0 + $1.first - $1.second })
    let reach = steps.reduce(0, +)
    guard observed > 0 else { return 1 }
    // chances[s + reach] is the probability that the signs drawn so far add up to s.
    var chances = [Double](repeating: 0, count: 2 * reach + 1)
    chances[reach] = 1
    var drawn = 0
    for step in steps {
      var next = [Double](repeating: 0, count: chances.count)
      for index in reach - drawn...reach + drawn where chances[index] > 0 {
        next[index - step] += chances[index] / 2
        next[index + step] += chances[index] / 2
      }
      drawn += step
      chances = next
    }
    let tail = (observed...reach).reduce(0.0) { $0 + chances[reach + $1] + chances[reach - $1] }
    return min(1, tail)
  }

  /// The difference with its 95 % interval.
  ///
  /// With one run per problem Bonett and Price's interval, which holds for few problems and does not
  /// shrink to a point where the two never differ ("Adjusted Wald Confidence Interval for a Difference
  /// of Binomial Proportions Based on Paired Data", 2012); else a bootstrap over problems with a fixed
  /// seed.
  package func interval(resamples: Int = 4000) -> Estimate {
    guard !pairs.isEmpty else { return Estimate(mean: 0, low: -1, high: 1) }
    return pairs.allSatisfy { $0.runs == 1 } ? adjustedWald : bootstrap(resamples: resamples)
  }

  private var adjustedWald: Estimate {
    let count = Double(pairs.count) + 2
    let gains = Double(pairs.count { $0.first > $0.second } + 1) / count
    let losses = Double(pairs.count { $0.first < $0.second } + 1) / count
    let centre = gains - losses
    let half = Estimate.z * ((gains + losses - centre * centre) / count).squareRoot()
    return Estimate(
      mean: difference, low: max(-1, min(difference, centre - half)),
      high: min(1, max(difference, centre + half)))
  }

  /// Percentiles of the difference over problems drawn anew.
  ///
  /// Drawn from the problems and two more, one all for the first and one all for the second: the
  /// adjustment of the interval above, without which few problems that agree would give a point.
  package func bootstrap(resamples: Int, seed: UInt64 = 1) -> Estimate {
    var generator = SplitMix64(seed: seed)
    let most = pairs.map(\.runs).max() ?? 1
    let drawn =
      pairs + [Pair(first: most, second: 0, runs: most), Pair(first: 0, second: most, runs: most)]
    var differences: [Double] = []
    differences.reserveCapacity(resamples)
    for _ in 0..<resamples {
      var (difference, runs) = (0, 0)
      for _ in drawn.indices {
        let pair = drawn[Int.random(in: drawn.indices, using: &generator)]
        difference += pair.first - pair.second
        runs += pair.runs
      }
      differences.append(Double(difference) / Double(max(1, runs)))
    }
    differences.sort()
    func percentile(_ share: Double) -> Double {
      differences[Int((share * Double(resamples - 1)).rounded())]
    }
    return Estimate(
      mean: difference, low: min(difference, percentile(0.025)),
      high: max(difference, percentile(0.975)))
  }
}

/// Holm's correction: the chance of any wrong call among all comparisons stays below the level.
///
/// Source: "A Simple Sequentially Rejective Multiple Test Procedure" (Holm, 1979).
package func holmAdjusted(_ values: [Double]) -> [Double] {
  var adjusted = values
  var largest = 0.0
  for (rank, index) in values.indices.sorted(by: { values[$0] < values[$1] }).enumerated() {
    largest = max(largest, min(1, values[index] * Double(values.count - rank)))
    adjusted[index] = largest
  }
  return adjusted
}
