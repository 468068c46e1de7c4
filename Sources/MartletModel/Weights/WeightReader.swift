import MartletKernels

/// Reads a model's tensors in order: packs matrices or takes them from the pack cache, dequantises
/// vectors, reports progress by bytes, and gives the file's pages back while their contents are
/// packed, so that no moment sees much more than one copy of the weights in memory.
struct WeightReader {
  let file: GGUFFile
  let plan: TensorPlan
  let numericClass: NumericClass
  let team: (any ParallelFor)?
  let placement: WeightPlacement?
  let progress: (@Sendable (Double) -> Void)?
  /// Matrices that the pack cache had.
  let cached: [String: PackedWeights]
  /// Keeps the matrices that are packed here.
  let writer: PackCacheWriter?
  private let totalBytes: Int
  private var doneBytes = 0

  init(
    _ file: GGUFFile, _ plan: TensorPlan, numericClass: NumericClass, team: (any ParallelFor)?,
    placement: WeightPlacement?, progress: (@Sendable (Double) -> Void)?,
    cached: [String: PackedWeights] = [:], writer: PackCacheWriter? = nil
  ) {
    self.file = file
    self.cached = cached
    self.writer = writer
    self.plan = plan
    self.numericClass = numericClass
    self.team = team
    self.placement = placement
    self.progress = progress
    let layers = plan.layers.flatMap(\.values)
    totalBytes = (Array(plan.model.values) + layers).reduce(0) { $0 + $1.byteCount }
  }

  /// The weights of block `number`.
  mutating func layer(_ number: Int) throws(ModelError) -> LayerWeights {
    // Reading past the end of a file that shrank would end the process: look before each block.
    try file.verifyUnchanged()
    if number == 0 { prefetch(0) }
    prefetch(number + 1)
    let tensors = plan.layers[number]
    return LayerWeights(
      attentionNorm: try optionalVector(tensors, .attentionNorm) ?? [],
      query: try matrix(tensors, .query),
      key: try matrix(tensors, .key), value: try matrix(tensors, .value),
      attentionOutput: try matrix(tensors, .attentionOutput),
      queryBias: try optionalVector(tensors, .queryBias),
      keyBias: try optionalVector(tensors, .keyBias),
      valueBias: try optionalVector(tensors, .valueBias),
      queryNorm: try optionalVector(tensors, .queryNorm),
      keyNorm: try optionalVector(tensors, .keyNorm),
      feedForwardNorm: try vector(tensors, .feedForwardNorm), gate: try matrix(tensors, .gate),
      up: try matrix(tensors, .up), down: try matrix(tensors, .down))
  }

  /// The norm before the output.
  mutating func outputNorm() throws(ModelError) -> [Float] {
    try vector(plan.model, .outputNorm)
  }

  /// Llama 3's divisors of the rotation frequencies, where the file has them.
  mutating func ropeFactors() throws(ModelError) -> [Float]? {
    guard let factors = try optionalVector(plan.model, .ropeFactors) else { return nil }
    guard factors.allSatisfy({ $0.isFinite && $0 > 0 }) else {
      throw ModelError(
        .value, "\(file.path): tensor 'rope_freqs.weight' holds a factor that is not above zero.")
    }
    return factors
  }

  /// The output matrix: its own tensor, or the embedding table where it is tied.
  mutating func output() throws(ModelError) -> PackedWeights {
    let own = plan.model[.output] != nil
    return try matrix(plan.model, own ? .output : .tokenEmbedding)
  }

  /// The embedding table, left in the file.
  func embedding() throws(ModelError) -> EmbeddingTable {
    let (tensor, type) = try typed(plan.model, .tokenEmbedding)
    file.expectSparseReads(of: tensor)
    return EmbeddingTable(file, tensor, type: type)
  }

  // MARK: Tensors

  /// Fetches what will be packed next, a block ahead: blocks, then what is outside them.
  private func prefetch(_ number: Int) {
    guard cached.isEmpty, number <= plan.layers.count else { return }
    let tensors = number < plan.layers.count ? plan.layers[number] : plan.model
    for tensor in tensors.values { file.prefetchPages(of: tensor) }
  }

  /// A matrix among `tensors`, packed.
  mutating func matrix(
    _ tensors: [TensorRole: TensorInfo], _ role: TensorRole
  ) throws(ModelError) -> PackedWeights {
    let (tensor, type) = try typed(tensors, role)
    if let packed = cached[tensor.name] {
      defer { advance(tensor) }
      return try placed(packed, tensor)
    }
    let (file, summing) = (file, writer != nil)
    let packed: PackedWeights
    do {
      packed = try file.withTensorBytes(tensor) { (bytes) throws(KernelError) in
        try PackedWeights(
          type: type, numericClass: numericClass, outputs: tensor.shape[1],
          depth: tensor.shape[0], source: bytes, team: team, placement: placement,
          summing: summing, consumed: { file.releasePages(of: tensor, $0) })
      }
    } catch {
      throw modelError(error, tensor)
    }
    file.releasePages(of: tensor)
    writer?.add(PlannedMatrix(tensor: tensor, shape: packed.shape), packed, team: team)
    advance(tensor)
    return packed
  }

  /// Mapped weights lie where the file's pages happen to be: where they have a place, they are
  /// copied there.
  private func placed(
    _ mapped: PackedWeights, _ tensor: TensorInfo
  ) throws(ModelError) -> PackedWeights {
    guard let placement else { return mapped }
    do throws(KernelError) {
      return try PackedWeights(copying: mapped, placement: placement, team: team)
    } catch {
      throw modelError(error, tensor)
    }
  }

  private mutating func vector(
    _ tensors: [TensorRole: TensorInfo], _ role: TensorRole
  ) throws(ModelError) -> [Float] {
    let (tensor, _) = try typed(tensors, role)
    let values = try file.floats(tensor)
    advance(tensor)
    return values
  }

  /// A vector, where the file has it.
  mutating func optionalVector(
    _ tensors: [TensorRole: TensorInfo], _ role: TensorRole
  ) throws(ModelError) -> [Float]? {
    tensors[role] == nil ? nil : try vector(tensors, role)
  }

  private func typed(
    _ tensors: [TensorRole: TensorInfo], _ role: TensorRole
  ) throws(ModelError) -> (TensorInfo, WeightType) {
    guard let tensor = tensors[role], let type = tensor.type.weightType else {
      throw ModelError(
        .missing, "\(file.path): the '\(plan.configuration.architecture)' page names no \(role).")
    }
    return (tensor, type)
  }

  private mutating func advance(_ tensor: TensorInfo) {
    doneBytes += tensor.byteCount
    progress?(Swift.min(1, Double(doneBytes) / Double(Swift.max(1, totalBytes))))
  }

  private func modelError(_ error: KernelError, _ tensor: TensorInfo) -> ModelError {
    let code: ModelError.Code =
      switch error.code {
      case .memory: .memory
      case .unsupported: .unsupported
      case .argument: .shape
      }
    return ModelError(code, "\(file.path): tensor '\(tensor.name)': \(error)")
  }
}
