import MartletKernels

/// Samples of one thing, each with what the machine could do beside it.
///
/// Hosts drift: memory bandwidth may double within minutes. So a sample is compared with limits of its
/// own time, and never with the best of a run.
public struct LimitedSamples: Sendable, Equatable {
  /// The samples, as they were taken.
  public private(set) var samples = Samples()
  /// The limits beside each.
  public private(set) var limits: [MachineLimits] = []

  /// None yet.
  public init() {}

  /// Adds a sample and the limits beside it.
  public mutating func append(_ nanoseconds: Double, beside limits: MachineLimits) {
    samples.append(nanoseconds)
    self.limits.append(limits)
  }

  /// Nanoseconds that the limits beside each sample allow `work` at best.
  public func limitNs(_ work: Work) -> [Double] { limits.map { work.seconds($0) * 1e9 } }

  /// Each sample's own fraction: the limit beside it over its time.
  public func fractions(_ work: Work) -> [Double] {
    zip(limitNs(work), samples.nanoseconds).map { $0 / $1 }
  }

  /// The median of the samples' own fractions; 0 without samples.
  ///
  /// Not the median limit over the median time: where the host drifts, the two medians may come from
  /// different moments, and their ratio is one that no moment showed.
  public func fraction(_ work: Work) -> Double { Samples.median(fractions(work)) }
}

/// Measures limits around samples: one probe before the first and one after each, so that every
/// sample lies between two.
///
/// The better of the two counts, value by value: whatever else runs on the machine can lower a probe
/// but not raise it, so that a disturbed probe does not flatter its sample.
package struct LimitTrack {
  private let probe: () -> MachineLimits
  /// Every probe in the order in which they were taken.
  package private(set) var probes: [MachineLimits] = []
  /// Whether the last probe was the last thing measured.
  private var isFresh = false

  /// A track of what `probe` measures.
  package init(probe: @escaping () -> MachineLimits) { self.probe = probe }

  /// A track of short probes.
  init(_ meter: MachineMeter) { self.init { meter.probe() } }

  /// Forgets that the last probe could serve the next sample: something else took time since.
  package mutating func interrupt() { isFresh = false }

  /// The result of `body` and the limits beside it.
  package mutating func beside<R>(_ body: () throws -> R) rethrows -> (R, MachineLimits) {
    if !isFresh { probes.append(probe()) }
    isFresh = false
    let result = try body()
    var limits = probes[probes.count - 1]
    probes.append(probe())
    isFresh = true
    limits.keepBest(probes[probes.count - 1])
    return (result, limits)
  }
}

/// Probes of the limits with some number of threads, in the order in which they were taken.
public struct LimitSeries: Encodable, Sendable, Equatable {
  public let threads: Int
  public let readGbPerS: [Double]
  public let fmaF32Gops: [Double]
  public let dotBf16Gops: [Double]
  public let dotInt8Gops: [Double]

  /// The figures of `probes`.
  public init(threads: Int, _ probes: [MachineLimits]) {
    self.threads = threads
    readGbPerS = probes.map(\.readGbPerS)
    fmaF32Gops = probes.map(\.fmaF32Gops)
    dotBf16Gops = probes.map(\.dotBf16Gops)
    dotInt8Gops = probes.map(\.dotInt8Gops)
  }
}
