/// Chooses how a head looks for what matters, by the length of its context and by what each way cost
/// and missed on this machine.
///
/// Nothing is assumed about any of them: an index counts between the lengths at which it was measured,
/// its time in proportion between neighbouring ones and its error the larger of theirs; attention to
/// everything counts at every length. The fastest that keeps to the tolerance is taken, of equally fast
/// ones the first of ``Index/allCases``.
public struct IndexChooser: Sendable {
  /// A way to attend, the plainest first.
  public enum Index: String, Sendable, CaseIterable {
    /// Attention to everything.
    case exact
    /// Codes of all positions, the best ranked.
    case scan
    /// Whole pages by bounds of their scores.
    case pages
    /// Links between keys that queries found together.
    case graph
  }

  /// What one way took and missed at one length.
  public struct Measurement: Sendable, Hashable {
    public var index: Index
    public var keys: Int
    /// Search and attention to what it found.
    public var nanoseconds: Double
    /// Of the attention's output, relative.
    public var error: Double

    public init(index: Index, keys: Int, nanoseconds: Double, error: Double) {
      (self.index, self.keys) = (index, keys)
      (self.nanoseconds, self.error) = (nanoseconds, error)
    }
  }

  private let measurements: [Index: [Measurement]]

  /// A chooser among what was measured; of one index at one length the last counts.
  public init(_ measurements: [Measurement]) {
    var byIndex: [Index: [Int: Measurement]] = [:]
    for measurement in measurements {
      byIndex[measurement.index, default: [:]][measurement.keys] = measurement
    }
    self.measurements = byIndex.mapValues { $0.values.sorted { $0.keys < $1.keys } }
  }

  /// What to use at a length: `exact` where nothing else is known to be faster and as right.
  public func choose(keys: Int, tolerance: Double) -> Index {
    let fitting = Index.allCases.compactMap { index -> (index: Index, nanoseconds: Double)? in
      guard let cost = cost(index, keys: keys) else { return nil }
      return index == .exact || cost.error <= tolerance ? (index, cost.nanoseconds) : nil
    }
    guard let exact = fitting.first, exact.index == .exact else { return .exact }
    return fitting.reduce(exact) { $1.nanoseconds < $0.nanoseconds ? $1 : $0 }.index
  }

  /// What an index takes and misses at a length; nil where that is not known.
  func cost(_ index: Index, keys: Int) -> (nanoseconds: Double, error: Double)? {
    guard let known = measurements[index], let first = known.first, let last = known.last else {
      return nil
    }
    if index == .exact, !(first.keys...last.keys).contains(keys) {
      // It reads everything, so its time is in proportion.
      let near = keys < first.keys ? first : last
      return (near.nanoseconds * Double(keys) / Double(near.keys), 0)
    }
    guard let below = known.last(where: { $0.keys <= keys }),
      let above = known.first(where: { $0.keys >= keys })
    else { return nil }
    let span = Double(above.keys - below.keys)
    let part = span > 0 ? Double(keys - below.keys) / span : 0
    return (
      below.nanoseconds + part * (above.nanoseconds - below.nanoseconds),
      max(below.error, above.error)
    )
  }
}
