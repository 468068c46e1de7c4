import MartletKernels

/// A model ready to run: configuration, packed weights and metadata.
///
/// The tokenizer and the chat template are values of their own, made from `metadata`
/// (`Tokenizer(metadata:)`): a model whose vocabulary is absent or of an unknown kind still turns
/// token ids into logits.
///
/// Immutable and shared freely between threads.
public final class TransformerModel: Sendable {
  /// The file it came from (the first part of a split model).
  public let path: String
  /// Shape and settings.
  public let configuration: TransformerConfiguration
  /// How its products round.
  public let numericClass: NumericClass
  /// The blocks, first to last.
  public let layers: [LayerWeights]
  /// RMS norm before the output, [width].
  public let outputNorm: [Float]
  /// width → vocabulary.
  public let output: PackedWeights
  /// Token embeddings, left in the mapped file.
  public let tokenEmbedding: EmbeddingTable
  /// All metadata of the file.
  public let metadata: GGUFMetadata
  /// Sixteen hexadecimal digits that identify the model's contents.
  public let fingerprint: String
  /// Bytes of packed weights in memory.
  public let packedByteCount: Int

  /// Opens `path` and packs its weights.
  ///
  /// - Parameters:
  ///   - numericClass: how products round for the whole life of this model.
  ///   - team: threads that share the packing.
  ///   - placement: where packed weights lie on a machine with several NUMA nodes; nil leaves it to
  ///     the system.
  ///   - progress: called with 0…1 as tensors are done, on the calling thread.
  /// - Throws: `ModelError`, whatever is wrong with the file. Linear in the file's bytes; peak
  ///   memory is the packed weights and one tensor of the file.
  public static func load(
    path: String, numericClass: NumericClass = .portable, team: (any ParallelFor)? = nil,
    placement: WeightPlacement? = nil, progress: (@Sendable (Double) -> Void)? = nil
  ) throws(ModelError) -> TransformerModel {
    try TransformerModel(
      GGUFFile(path: path), numericClass: numericClass, team: team, placement: placement,
      progress: progress)
  }

  private init(
    _ file: GGUFFile, numericClass: NumericClass, team: (any ParallelFor)?,
    placement: WeightPlacement?, progress: (@Sendable (Double) -> Void)?
  ) throws(ModelError) {
    let plan = try TensorPlan.make(file)
    // Before packing, which gives back the pages that this touches.
    fingerprint = Fingerprint.of(file)
    var reader = WeightReader(
      file, plan, numericClass: numericClass, team: team, placement: placement,
      progress: progress)
    var configuration = plan.configuration
    configuration.rope.frequencyFactors = try reader.ropeFactors()
    var layers: [LayerWeights] = []
    for number in 0..<configuration.layers { layers.append(try reader.layer(number)) }

    path = file.path
    self.configuration = configuration
    self.numericClass = numericClass
    outputNorm = try reader.outputNorm()
    output = try reader.output()
    tokenEmbedding = try reader.embedding()
    metadata = file.metadata
    packedByteCount = layers.reduce(output.byteCount) { $0 + $1.packedByteCount }
    self.layers = layers
    progress?(1)
  }
}

extension LayerWeights {
  /// Bytes of the packed matrices.
  public var packedByteCount: Int {
    [query, key, value, attentionOutput, gate, up, down].reduce(0) { $0 + $1.byteCount }
  }
}
