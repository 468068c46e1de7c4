import CMartlet

/// One weight matrix packed for products: tiles of 16 outputs in the layout its type and numeric
/// class call for.
///
/// Immutable once made, hence `@unchecked Sendable`.
public final class PackedWeights: @unchecked Sendable {
  public let type: WeightType
  public let numericClass: NumericClass
  /// Rows of the weight matrix: values that one product computes per token.
  public let outputs: Int
  /// Columns of the weight matrix: values that one product reads per token.
  public let depth: Int
  /// Bytes of the packed form.
  public let byteCount: Int
  /// The form in which activations must be prepared for these weights.
  public let activationType: ActivationType

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
  /// - Throws: `KernelError` `.argument` when the shape is empty, `depth` is no multiple of the
  ///   type's block or `source` has another size; `.unsupported`; `.memory`.
  public init(
    type: WeightType, numericClass: NumericClass = .portable, outputs: Int, depth: Int,
    source: UnsafeRawBufferPointer, team: (any ParallelFor)? = nil,
    placement: WeightPlacement? = nil
  ) throws(KernelError) {
    try numericClass.validate()
    guard outputs > 0, depth > 0 else {
      throw KernelError(.argument, "weights of \(outputs) outputs × depth \(depth) are empty")
    }
    guard let rowBytes = type.byteCount(elements: depth) else {
      throw KernelError(
        .argument,
        "depth \(depth) is no multiple of \(type.name)'s block of \(type.blockElements)")
    }
    guard let expected = checkedProduct(rowBytes, outputs), source.count == expected,
      let sourceBase = source.baseAddress
    else {
      throw KernelError(
        .argument,
        "\(type.name) weights of \(outputs) × \(depth) need \(rowBytes) bytes per output, "
          + "but the source has \(source.count) bytes")
    }
    let bytes = martlet_gemm_packed_bytes(type.cValue, numericClass.cValue, outputs, depth)
    guard bytes > 0, bytes <= Int.max else {
      throw KernelError(
        .unsupported,
        "\(type.name) weights of \(outputs) × \(depth) cannot be packed in class "
          + numericClass.rawValue)
    }
    self.type = type
    self.numericClass = numericClass
    self.outputs = outputs
    self.depth = depth
    byteCount = Int(bytes)
    activationType = ActivationType(for: type, numericClass: numericClass)
    memory = try AlignedMemory(byteCount: Int(bytes))
    let tiles = (outputs + Int(MARTLET_GEMM_TILE) - 1) / Int(MARTLET_GEMM_TILE)
    placement?.place(memory, tiles, 0)
    let replicas = try (1..<max(1, placement?.readers.count ?? 1)).map { copy throws(KernelError) in
      let replica = try AlignedMemory(byteCount: Int(bytes))
      placement?.place(replica, tiles, copy)
      return replica
    }
    self.replicas = replicas

    let job = PackingJob(
      type: type.cValue, numericClass: numericClass.cValue, outputs: outputs, depth: depth,
      source: sourceBase, packed: memory.base)
    if try !job.runFirstTile() {
      throw KernelError(
        .unsupported, "\(type.name) weights have no packing in class \(numericClass.rawValue)")
    }
    let team = team ?? SerialFor()
    team.split(outputs, granularity: Int(MARTLET_GEMM_TILE)) { job.run($0) }
    for (replica, readers) in zip(replicas, placement?.readers.dropFirst() ?? []) {
      team.copy(memory, to: replica, workers: readers)
    }
  }
}

/// The arguments of one packing, shared by the workers that do parts of it.
///
/// `@unchecked Sendable`: `source` is only read, and each worker writes the tiles of its own
/// columns, which are disjoint. Both outlive the team's `run`, which waits for all workers.
private struct PackingJob: @unchecked Sendable {
  let type: martlet_weight_type
  let numericClass: martlet_numeric_class
  let outputs: Int
  let depth: Int
  let source: UnsafeRawPointer
  let packed: UnsafeMutableRawPointer

  /// Packs the first tile alone: whether this combination is supported shows here, on the caller.
  func runFirstTile() throws(KernelError) -> Bool {
    let status = pack(0..<min(Int(MARTLET_GEMM_TILE), outputs))
    if status == MARTLET_E_UNSUPPORTED { return false }
    try status.throwing("packing weights")
    return true
  }

  func run(_ columns: Range<Int>) { pack(columns).expectSuccess("martlet_gemm_pack") }

  private func pack(_ columns: Range<Int>) -> martlet_status {
    martlet_gemm_pack(
      type, numericClass, outputs, depth, source, packed, columns.lowerBound, columns.upperBound)
  }
}
