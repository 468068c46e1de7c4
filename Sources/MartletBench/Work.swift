import MartletKernels
import MartletModel

/// What a step has to do whatever the implementation: bytes from memory, and operations by the unit
/// that is fastest for them.
public struct Work: Sendable, Equatable {
  /// Bytes read from memory once.
  public var bytes = 0.0
  /// Operations, a multiply and an add counting two.
  public var operations: [MachineProbe.Unit: Double] = [:]

  /// Nothing.
  public init() {}

  /// All operations.
  public var totalOperations: Double { operations.values.reduce(0, +) }

  /// Seconds that `limits` allow at best: the larger of bytes over read bandwidth and operations
  /// over peak, the operations of several units one after another.
  public func seconds(_ limits: MachineLimits) -> Double {
    let arithmetic = operations.reduce(0) { $0 + $1.value / limits.operationsPerSecond($1.key) }
    return max(bytes / (limits.readGbPerS * 1e9), arithmetic)
  }

  /// One product of `rows` rows with a weight matrix.
  public mutating func addProduct(_ matrix: MatrixShape, rows: Int) {
    bytes += Double(matrix.bytes)
    operations[matrix.type.unit, default: 0] += 2 * Double(rows) * Double(matrix.elements)
  }
}

/// A weight matrix as its file holds it.
public struct MatrixShape: Sendable, Equatable {
  public let type: WeightType
  /// Values that a product computes per row.
  public let outputs: Int
  /// Values that a product reads per row.
  public let depth: Int

  public init(type: WeightType, outputs: Int, depth: Int) {
    self.type = type
    self.outputs = outputs
    self.depth = depth
  }

  init(_ weights: PackedWeights) {
    self.init(type: weights.type, outputs: weights.outputs, depth: weights.depth)
  }

  /// Weights.
  public var elements: Int { outputs * depth }
  /// Bytes in the model file; padding of a packed form is the implementation's own affair.
  public var bytes: Int { outputs * (type.byteCount(elements: depth) ?? 0) }
}

extension WeightType {
  /// The arithmetic that its products can run at: int8 for quantised weights, the bf16 dot product
  /// for bf16, float32 for the others.
  public var unit: MachineProbe.Unit {
    switch self {
    case .f32, .f16: .float32
    case .bf16: .bfloat16
    default: .int8
    }
  }
}

/// What forward passes of a model have to do.
public struct ModelWork: Sendable {
  /// How the figures come about, for the context of a report.
  public static let formula = """
    limit = max(bytes / read bandwidth, sum over units of operations / peak of the unit), both \
    measured beside each sample; bytes = every weight matrix except the embedding once, as the file stores \
    it, and with a shared prefix the keys and values of one branch once; operations = 2 x rows x \
    weights (int8 peak for quantised weights, bf16 dot peak for bf16, fp32 FMA peak for others; the \
    output matrix only for rows whose logits are wanted), and with a shared prefix 4 x rows x \
    positions x query width x layers at the fp32 FMA peak; fraction_of_limit = median of limit / sample
    """

  /// The matrices of all blocks.
  let blocks: [MatrixShape]
  let output: MatrixShape
  let configuration: TransformerConfiguration
  let kvPositionBytes: Double

  /// Of a loaded model whose keys and values take `kvPositionBytes` per position over all layers, scales
  /// included.
  public init(_ model: TransformerModel, kvPositionBytes: Double) {
    blocks = model.layers.flatMap {
      [$0.query, $0.key, $0.value, $0.attentionOutput, $0.gate, $0.up, $0.down].map(
        MatrixShape.init)
    }
    output = MatrixShape(model.output)
    configuration = model.configuration
    self.kvPositionBytes = kvPositionBytes
  }

  /// One decoding step of `width` branches, each of which wants logits.
  ///
  /// - Parameter positions: positions before the branches part, where they count: with a shared
  ///   prefix. 0 leaves attention out.
  public func decode(width: Int, positions: Double) -> Work {
    var work = Work()
    for matrix in blocks { work.addProduct(matrix, rows: width) }
    work.addProduct(output, rows: width)
    let c = configuration
    work.bytes += positions * kvPositionBytes
    let attention = 4 * Double(width) * positions * Double(c.queryWidth * c.layers)
    if attention > 0 { work.operations[.float32, default: 0] += attention }
    return work
  }

  /// A prompt of `tokens` in one pass, logits for the last. Attention is left out.
  public func prefill(tokens: Int) -> Work {
    var work = Work()
    for matrix in blocks { work.addProduct(matrix, rows: tokens) }
    work.addProduct(output, rows: 1)
    return work
  }
}
