import Glibc

/// Random numbers of one run or branch, in order: the same on every schedule, thread count and
/// machine.
///
/// Each draw takes one 64-bit number of the host's, keyed by the seed, the branch's path (or the run)
/// and a counter; two dice of one run need different starts.
public struct Dice {
  private let table: HostTable
  private let branch: Branch?
  private var index: UInt64

  /// Dice of the run, or of a branch.
  /// - Parameter start: the first counter; give dice of different purpose different ones, such as
  ///   1 << 32 apart.
  public init(_ run: RunContext, branch: Branch? = nil, from start: UInt64 = 0) {
    table = run.table
    self.branch = branch
    index = start
  }

  /// 64 random bits.
  public mutating func bits() throws(PluginError) -> UInt64 {
    var value: UInt64 = 0
    try table.check(
      table.host.pointee.random?(table.run, branch?.handle, index, &value), "random")
    index += 1
    return value
  }

  /// Uniform in 0 ..< 1, a multiple of 2⁻⁵³.
  public mutating func uniform() throws(PluginError) -> Double {
    Double(try bits() >> 11) * 0x1p-53
  }

  /// Uniform in 0 ..< count; `count` is at least 1.
  public mutating func below(_ count: Int) throws(PluginError) -> Int {
    min(count - 1, Int(try uniform() * Double(count)))
  }

  /// An index with probability in proportion to its weight; weights are finite and not negative, and
  /// one is positive.
  public mutating func index(weights: [Double]) throws(PluginError) -> Int {
    let mark = try uniform() * weights.reduce(0, +)
    var sum = 0.0
    for (index, weight) in weights.enumerated() {
      sum += weight
      if mark < sum { return index }
    }
    return weights.lastIndex { $0 > 0 } ?? 0
  }

  /// Standard normal, by Box and Muller's method.
  public mutating func normal() throws(PluginError) -> Double {
    let radius = (-2 * log(1 - (try uniform()))).squareRoot()
    return radius * cos(2 * .pi * (try uniform()))
  }

  /// Gamma with this shape and scale 1 (source: "A Simple Method for Generating Gamma Variables").
  public mutating func gamma(_ shape: Double) throws(PluginError) -> Double {
    if shape < 1 {
      let boosted = try gamma(shape + 1)
      return boosted * pow(1 - (try uniform()), 1 / shape)
    }
    let d = shape - 1.0 / 3
    let c = 1 / (9 * d).squareRoot()
    while true {
      let x = try normal()
      let v = pow(1 + c * x, 3)
      guard v > 0 else { continue }
      if log(1 - (try uniform())) < 0.5 * x * x + d - d * v + d * log(v) { return d * v }
    }
  }

  /// Beta with these two shapes, both positive.
  public mutating func beta(_ a: Double, _ b: Double) throws(PluginError) -> Double {
    let x = try gamma(a)
    return x / (x + (try gamma(b)))
  }
}
