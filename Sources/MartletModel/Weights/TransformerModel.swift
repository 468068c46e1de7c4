import Logging
import MartletKernels
import MartletMachine

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
  /// Parameters that a token is multiplied with: each counts two operations.
  public var parameterCount: Int {
    layers.reduce(output.outputs * output.depth) { $0 + $1.multiplied }
  }
  /// Bytes of packed weights in memory.
  public let packedByteCount: Int
  /// Where the time of opening went, and what the pack cache did.
  public let opening: OpeningReport
  /// The files it came from.
  let sources: [Source]
  /// The pack file that is being written, if any; waited for when the model goes.
  private let pending: PendingPack?

  /// Opens `path` and packs its weights, or maps weights that were packed before.
  ///
  /// - Parameters:
  ///   - numericClass: how products round for the whole life of this model.
  ///   - team: threads that share the packing.
  ///   - placement: where packed weights lie on a machine with several NUMA nodes; nil leaves it to
  ///     the system. Weights from the cache are copied there.
  ///   - packCache: where packed weights are kept between starts; nowhere if not given. Trouble with
  ///     the cache is logged and costs time, never the model.
  ///   - progress: called with 0…1 as tensors are done, on the calling thread.
  /// - Throws: `ModelError`, whatever is wrong with the file. Linear in the file's bytes; peak
  ///   memory is the packed weights and a few mebibytes of the file.
  public static func load(
    path: String, numericClass: NumericClass = .portable, team: (any ParallelFor)? = nil,
    placement: WeightPlacement? = nil, packCache: PackCacheOptions = .off,
    logger: Logger = Logger(label: "martlet.model"), progress: (@Sendable (Double) -> Void)? = nil
  ) throws(ModelError) -> TransformerModel {
    try TransformerModel(
      path: path, numericClass: numericClass, team: team, placement: placement,
      packCache: packCache, logger: logger,
      progress: progress)
  }

  private init(
    path: String, numericClass: NumericClass, team: (any ParallelFor)?,
    placement: WeightPlacement?, packCache: PackCacheOptions, logger: Logger,
    progress: (@Sendable (Double) -> Void)?
  ) throws(ModelError) {
    var watch = StopWatch()
    var report = OpeningReport()
    let file = try GGUFFile(path: path)
    let plan = try TensorPlan.make(file)
    report.fileBytes = file.byteCount
    report.mapSeconds = watch.lap()
    fingerprint = Fingerprint.of(file)
    report.fingerprintSeconds = watch.lap()
    let cache = PackCache(
      packCache, file, plan, fingerprint: fingerprint, numericClass, team: team, logger: logger,
      report: &report)
    let cached = try cache?.lookUp(&report)
    report.lookUpSeconds = watch.lap()

    let writer = cached == nil ? cache?.writer(model: plan.configuration.name) : nil
    var reader = WeightReader(
      file, plan, numericClass: numericClass, team: team, placement: placement,
      progress: progress, cached: cached ?? [:], writer: writer)
    var configuration = plan.configuration
    configuration.rope.frequencyFactors = try reader.ropeFactors()
    var layers: [LayerWeights] = []
    for number in 0..<configuration.layers { layers.append(try reader.layer(number)) }

    self.path = file.path
    sources = file.sources
    self.configuration = configuration
    self.numericClass = numericClass
    outputNorm = try reader.outputNorm()
    output = try reader.output()
    tokenEmbedding = try reader.embedding()
    metadata = file.metadata
    packedByteCount = layers.reduce(output.byteCount) { $0 + $1.packedByteCount }
    self.layers = layers

    try file.verifyUnchanged()
    pending = writer?.finish(source: file.identity, logger: logger)
    report.packedBytes = packedByteCount
    report.writeSeconds = writer?.seconds ?? 0
    report.packSeconds = watch.lap() - report.writeSeconds
    report.cacheWritten = pending != nil
    if let failure = writer?.failure {
      report.note = failure
      if report.cache == .miss { report.cache = .unavailable }
      // Where the user named the place, the user should know.
      logger.log(
        level: packCache.location == .standard ? .info : .warning,
        "packed weights are not kept: \(failure)")
    }
    report.seconds = watch.total
    opening = report
    progress?(1)
  }
}

extension LayerWeights {
  /// Bytes of the packed matrices.
  public var packedByteCount: Int {
    [query, key, value, attentionOutput, gate, up, down].reduce(0) { $0 + $1.byteCount }
  }
}
