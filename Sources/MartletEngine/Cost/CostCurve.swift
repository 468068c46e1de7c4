/// What a forward pass costs by its width: the number of branches that each decode one token in it.
///
/// Measured at a few widths at a short context, logits of every row and writing keys and values
/// included, sampling not. Between two measured widths the time is interpolated linearly; beyond the
/// last it goes on with the slope of the last two. A wider pass never counts as cheaper than a
/// narrower one, so noise cannot make the curve fall.
public struct CostCurve: Sendable, Codable, Equatable {
  /// One measured width.
  public struct Point: Sendable, Codable, Equatable {
    /// Rows of the pass.
    public var width: Int
    /// The shortest time seen: what else runs on the machine only ever adds.
    public var seconds: Double

    public init(width: Int, seconds: Double) {
      self.width = width
      self.seconds = seconds
    }
  }

  /// Where the figures come from.
  public enum Origin: String, Sendable, Codable {
    /// Passes timed by this engine.
    case measured
    /// Passes timed by an earlier engine of the same program, model, threads and machine.
    case cached
    /// The backend states what its passes cost, as a simulation does.
    case stated
    /// Measuring failed or was not possible; each row is taken to cost as much as the first.
    case assumed
  }

  /// A step may cost this many times a step of width 1 up to the knee.
  public static let kneeFactor = 2.0
  /// The widths that are measured.
  public static let measuredWidths = [1, 2, 4, 8, 16, 32]

  /// Width 1 first, ascending.
  public let points: [Point]
  /// Where they come from.
  public let origin: Origin

  /// A curve through `points`; nil unless they begin at width 1, ascend, and are finite and above
  /// zero (all zero counts as free at any width).
  public init?(points: [Point], origin: Origin) {
    guard points.first?.width == 1,
      zip(points, points.dropFirst()).allSatisfy({ $0.width < $1.width }),
      points.allSatisfy({ $0.seconds.isFinite && $0.seconds >= 0 })
    else { return nil }
    var highest = 0.0
    self.points = points.map { point in
      highest = max(highest, point.seconds)
      return Point(width: point.width, seconds: highest)
    }
    self.origin = origin
    guard self.points[0].seconds > 0 || highest == 0 else { return nil }
  }

  /// The curve of a machine that shares nothing between rows.
  static let assumed = CostCurve(unchecked: [
    Point(width: 1, seconds: 1), Point(width: 2, seconds: 2),
  ])

  private init(unchecked points: [Point]) {
    self.points = points
    origin = .assumed
  }

  /// The time of a step of `width` rows relative to a step of one: 1 for 1, 0 for 0 rows or fewer,
  /// never falling.
  public func cost(_ width: Int) -> Double {
    guard width > 0 else { return 0 }
    let first = points[0].seconds
    guard first > 0 else { return 1 }
    return max(1, seconds(width) / first)
  }

  /// The largest width up to `limit` whose step costs at most `factor` times a step of width 1; at
  /// least 1. Below the knee another branch is nearly free; beyond it each costs about its share of
  /// arithmetic. Linear in the result.
  public func knee(costingAtMost factor: Double = kneeFactor, limit: Int = 4096) -> Int {
    var width = 1
    while width < limit, cost(width + 1) <= factor { width += 1 }
    return width
  }

  /// The time of a step by the rule above. `width` is at least 1.
  func seconds(_ width: Int) -> Double {
    guard points.count > 1 else { return points[0].seconds * Double(width) }
    // The segment that holds the width, or the last.
    let end = points.dropFirst().firstIndex { $0.width >= width } ?? points.count - 1
    let (left, right) = (points[end - 1], points[end])
    let slope = (right.seconds - left.seconds) / Double(right.width - left.width)
    return left.seconds + slope * Double(width - left.width)
  }
}
