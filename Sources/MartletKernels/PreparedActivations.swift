import CMartlet

/// A batch of rows in the form that products read, prepared once and shared by every product over
/// them (queries, keys and values; gate and up).
///
/// Use: `begin` on one thread, `fill` disjoint rows (or let a gated product write disjoint columns) on
/// any threads, then any number of products.
/// `@unchecked Sendable` by that rule; the team's barrier stands between the three.
public final class PreparedActivations: @unchecked Sendable {
  /// The most rows and the greatest depth that fit.
  public let rowCapacity: Int
  public let depthCapacity: Int
  /// What `begin` last said.
  public private(set) var type = ActivationType.f32
  public private(set) var rows = 0
  public private(set) var depth = 0

  private let memory: AlignedMemory
  var base: UnsafeRawPointer { UnsafeRawPointer(memory.base) }
  /// For kernels that prepare what they compute, by the rule of `fill`.
  var mutableBase: UnsafeMutableRawPointer { memory.base }

  /// Room for `rows` rows of `depth` in any activation type.
  /// - Throws: `KernelError` `.argument` for an impossible shape, `.memory`.
  public init(rows: Int, depth: Int) throws(KernelError) {
    guard rows > 0, depth > 0 else {
      throw KernelError(.argument, "activations of \(rows) rows × depth \(depth) are empty")
    }
    rowCapacity = rows
    depthCapacity = depth
    // Some types need whole blocks of 32; size each as if the depth were rounded up to them.
    let blocked = (depth + 31) & ~31
    var bytes = 0
    for type in ActivationType.allCases {
      let needed = martlet_gemm_activation_bytes(type.cValue, rows, blocked)
      guard needed > 0, needed <= Int.max else {
        throw KernelError(.argument, "activations of \(rows) rows × depth \(depth) overflow")
      }
      bytes = max(bytes, Int(needed))
    }
    memory = try AlignedMemory(byteCount: bytes)
  }

  /// Whether rows of `depth` can be held as `type`: q8 needs a multiple of 32.
  public static func supports(_ type: ActivationType, depth: Int) -> Bool {
    type != .q8 || depth % 32 == 0
  }

  /// Starts a new batch of `rows` rows of `depth`. Call it on one thread, with no product running.
  public func begin(_ type: ActivationType, rows: Int, depth: Int) {
    precondition(rows >= 0 && rows <= rowCapacity, "\(rows) rows of \(rowCapacity)")
    precondition(depth > 0 && depth <= depthCapacity, "depth \(depth) of \(depthCapacity)")
    precondition(Self.supports(type, depth: depth), "q8 needs a multiple of 32, not \(depth)")
    self.type = type
    self.rows = rows
    self.depth = depth
  }

  /// Prepares rows `range` from the same rows of `input`. Disjoint ranges may run concurrently.
  public func fill(from input: FloatMatrix, rows range: Range<Int>) {
    input.checkRows(range)
    precondition(range.upperBound <= rows, "rows \(range) of a batch of \(rows)")
    precondition(input.columns == depth, "\(input.columns) columns for depth \(depth)")
    guard !range.isEmpty else { return }
    martlet_gemm_prepare(
      type.cValue, rows, depth, input.base, input.stride, memory.base, range.lowerBound,
      range.upperBound
    ).expectSuccess("martlet_gemm_prepare")
  }

  /// Prepares the first `rows` rows of `input` on the calling thread.
  public func prepare(_ type: ActivationType, from input: FloatMatrix, rows: Int) {
    begin(type, rows: rows, depth: input.columns)
    fill(from: input, rows: 0..<rows)
  }
}
