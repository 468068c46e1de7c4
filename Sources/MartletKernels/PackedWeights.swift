import CMartlet

/// One weight matrix packed for products: tiles of 16 outputs in the layout its type and numeric
/// class call for. Packed here, or packed earlier and read from a file (``PackedWeights/init(shape:memory:)``).
///
/// Immutable once made, hence `@unchecked Sendable`.
public final class PackedWeights: @unchecked Sendable {
  /// Type, class and size.
  public let shape: PackedShape
  /// The form in which activations must be prepared for these weights.
  public let activationType: ActivationType
  /// Checksum of the source that was packed; nil when nobody asked for it.
  public let sourceChecksum: UInt64?

  public var type: WeightType { shape.type }
  public var numericClass: NumericClass { shape.numericClass }
  /// Rows of the weight matrix: values that one product computes per token.
  public var outputs: Int { shape.outputs }
  /// Columns of the weight matrix: values that one product reads per token.
  public var depth: Int { shape.depth }
  /// Bytes of the packed form.
  public var byteCount: Int { shape.packedBytes }

  private let memory: AlignedMemory
  /// Further copies, each near to other workers.
  private let replicas: [AlignedMemory]
  var base: UnsafeRawPointer { UnsafeRawPointer(memory.base) }

  /// Copies in memory, at least 1.
  public var copies: Int { replicas.count + 1 }

  /// Where copy `copy` begins; the first where there is no such copy.
  func base(copy: Int) -> UnsafeRawPointer {
    copy > 0 && copy <= replicas.count ? UnsafeRawPointer(replicas[copy - 1].base) : base
  }

  /// Packs `source`: `outputs` rows of `depth` elements in GGUF layout, contiguous, any alignment.
  ///
  /// - Parameters:
  ///   - team: packs on its workers, so that pages are first touched where a product splits them.
  ///   - placement: hears of the memory before it is written, and says how many copies there are.
  ///   - summing: whether to compute ``sourceChecksum`` on the way.
  ///   - consumed: called on the workers with each range of source bytes that will not be read
  ///     again, so that a mapped file's pages can be given back while packing goes on.
  /// - Throws: `KernelError` `.argument` when the shape is empty, `depth` is no multiple of the
  ///   type's block or `source` has another size; `.unsupported`; `.memory`.
  public init(
    type: WeightType, numericClass: NumericClass = .portable, outputs: Int, depth: Int,
    source: UnsafeRawBufferPointer, team: (any ParallelFor)? = nil,
    placement: WeightPlacement? = nil, summing: Bool = false,
    consumed: (@Sendable (Range<Int>) -> Void)? = nil
  ) throws(KernelError) {
    shape = try PackedShape(
      type: type, numericClass: numericClass, outputs: outputs, depth: depth)
    let sourceBase = try shape.base(of: source)
    activationType = ActivationType(for: type, numericClass: numericClass)
    (memory, replicas) = try Self.allocate(shape, placement)

    let job = PackingJob(shape: shape, source: sourceBase, packed: memory.base)
    if try !job.runFirstTile() {
      throw KernelError(
        .unsupported, "\(type.name) weights have no packing in class \(numericClass.rawValue)")
    }
    let team = team ?? SerialFor()
    sourceChecksum = shape.forEachPiece(team, source: source, summing: summing) { rows, bytes in
      job.run(rows)
      consumed?(bytes)
    }
    copyToReplicas(placement, team)
  }

  /// Weights that were packed before, in memory of ``PackedShape/packedBytes`` bytes that nobody
  /// writes any more. What they hold is not looked at.
  /// - Throws: `KernelError` `.argument` when the memory has another size.
  public init(shape: PackedShape, memory: AlignedMemory) throws(KernelError) {
    guard memory.byteCount == shape.packedBytes else {
      throw KernelError(
        .argument,
        "packed \(shape.type.name) weights of \(shape.outputs) × \(shape.depth) take "
          + "\(shape.packedBytes) bytes, but the memory has \(memory.byteCount)")
    }
    self.shape = shape
    self.memory = memory
    replicas = []
    activationType = ActivationType(for: shape.type, numericClass: shape.numericClass)
    sourceChecksum = nil
  }

  /// A copy of packed weights in memory that `placement` places. Linear in their bytes; bound by
  /// memory with a team.
  /// - Throws: `KernelError` `.memory`.
  public init(
    copying weights: PackedWeights, placement: WeightPlacement, team: (any ParallelFor)? = nil
  ) throws(KernelError) {
    shape = weights.shape
    activationType = weights.activationType
    sourceChecksum = weights.sourceChecksum
    (memory, replicas) = try Self.allocate(shape, placement)
    let team = team ?? SerialFor()
    team.copy(weights.memory, to: memory, workers: placement.readers.first ?? 0..<team.width)
    copyToReplicas(placement, team)
  }

  /// Memory for every copy that `placement` asks for, placed and not yet written.
  private static func allocate(
    _ shape: PackedShape, _ placement: WeightPlacement?
  ) throws(KernelError) -> (first: AlignedMemory, replicas: [AlignedMemory]) {
    let tiles = (shape.outputs + Int(MARTLET_GEMM_TILE) - 1) / Int(MARTLET_GEMM_TILE)
    func placed(_ copy: Int) throws(KernelError) -> AlignedMemory {
      let memory = try AlignedMemory(byteCount: shape.packedBytes)
      placement?.place(memory, tiles, copy)
      return memory
    }
    let copies = max(1, placement?.readers.count ?? 1)
    return (try placed(0), try (1..<copies).map { copy throws(KernelError) in try placed(copy) })
  }

  private func copyToReplicas(_ placement: WeightPlacement?, _ team: any ParallelFor) {
    for (replica, readers) in zip(replicas, placement?.readers.dropFirst() ?? []) {
      team.copy(memory, to: replica, workers: readers)
    }
  }

  /// Calls `body` with the packed bytes, for keeping them in a file. The pointer must not outlive
  /// the call.
  public func withPackedBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try memory.withBytes { try body(UnsafeRawBufferPointer($0)) }
  }

  /// Checksum of the packed bytes. Linear in them; bound by memory with a team.
  public func checksum(team: (any ParallelFor)? = nil) -> UInt64 {
    withPackedBytes { Checksum.ofPieces($0, team: team) }
  }
}

/// The arguments of one packing, shared by the workers that do parts of it.
///
/// `@unchecked Sendable`: `source` is only read, and each worker writes the tiles of its own
/// columns, which are disjoint. Both outlive the team's `run`, which waits for all workers.
private struct PackingJob: @unchecked Sendable {
  let shape: PackedShape
  let source: UnsafeRawPointer
  let packed: UnsafeMutableRawPointer

  /// Packs the first tile alone: whether this combination is supported shows here, on the caller.
  func runFirstTile() throws(KernelError) -> Bool {
    let status = pack(0..<min(Int(MARTLET_GEMM_TILE), shape.outputs))
    if status == MARTLET_E_UNSUPPORTED { return false }
    try status.throwing("packing weights")
    return true
  }

  func run(_ columns: Range<Int>) { pack(columns).expectSuccess("martlet_gemm_pack") }

  private func pack(_ columns: Range<Int>) -> martlet_status {
    martlet_gemm_pack(
      shape.type.cValue, shape.numericClass.cValue, shape.outputs, shape.depth, source, packed,
      columns.lowerBound, columns.upperBound)
  }
}
