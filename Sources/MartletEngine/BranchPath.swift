/// Where a branch stands in its run's tree: the root is empty, a child adds its index.
///
/// Paths order lexicographically, a parent before its children. They are never reused in a run.
public struct BranchPath: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The child indices from the root down.
  public let indices: [UInt32]
  /// A 64-bit hash that chains over the indices; it keys the branch's random draws.
  public let hashBits: UInt64

  /// The root's path.
  public static let root = BranchPath(indices: [], hashBits: 0x6A09_E667_F3BC_C908)

  private init(indices: [UInt32], hashBits: UInt64) {
    self.indices = indices
    self.hashBits = hashBits
  }

  /// The path of child `index`.
  public func child(_ index: UInt32) -> BranchPath {
    BranchPath(
      indices: indices + [index], hashBits: mix64(hashBits &+ mix64(UInt64(index) &+ 1)))
  }

  public static func < (a: BranchPath, b: BranchPath) -> Bool {
    a.indices.lexicographicallyPrecedes(b.indices)
  }

  public static func == (a: BranchPath, b: BranchPath) -> Bool { a.indices == b.indices }

  public func hash(into hasher: inout Hasher) { hasher.combine(hashBits) }

  /// `0.3.1` written from the root; the root is `0`.
  public var description: String { (["0"] + indices.map(String.init)).joined(separator: ".") }
}

/// The finaliser of SplitMix64 ("Fast Splittable Pseudorandom Number Generators"), a bijection.
func mix64(_ value: UInt64) -> UInt64 {
  var z = value &+ 0x9E37_79B9_7F4A_7C15
  z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
  z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
  return z ^ (z >> 31)
}
