import MartletKernels

/// Heads that each guess one token from the same feature: head k the token at t + 2 + k (k from 0)
/// from feature t, where the base model itself has chosen the token at t + 1.
///
/// A head is one or more residual blocks x + SiLU(W x + b) and an output projection of its own, or
/// the base model's. Source: "Medusa: Simple LLM Inference Acceleration Framework with Multiple
/// Decoding Heads".
///
/// Files: `general.architecture` = `martlet-medusa`; `martlet-medusa.` + `embedding_length`,
/// `vocab_size`, `head_count`, `block_count` (blocks per head); tensors `head.K.blk.L.weight`
/// [width, width], optionally `head.K.blk.L.bias` [width], and, in all heads or in none,
/// `head.K.output.weight` [width, vocabulary].
public struct MedusaHeads: Sendable {
  /// The value of `general.architecture`.
  public static let architecture = "martlet-medusa"

  /// One head.
  public struct Head: Sendable {
    /// width → width with its bias, first to last.
    public let blocks: [Block]
    /// width → vocabulary; nil where the base model's output is shared.
    public let output: PackedWeights?
  }

  /// One residual block.
  public struct Block: Sendable {
    /// width → width.
    public let weight: PackedWeights
    /// Added to the product, if there is one.
    public let bias: [Float]?
  }

  /// The file they came from.
  public let path: String
  /// The name that the file gives.
  public let name: String
  /// See ``DraftHeads/baseFingerprint``.
  public let baseFingerprint: String?
  /// Elements of a feature.
  public let width: Int
  /// Logits per head.
  public let vocabularySize: Int
  /// At least one; all have the same number of blocks.
  public let heads: [Head]

  init(
    _ file: GGUFFile, _ base: TransformerModel, _ team: (any ParallelFor)?,
    _ placement: WeightPlacement?
  ) throws(ModelError) {
    let header = try HeadsFile(file, architecture: Self.architecture, base: base)
    let count = try header.keys.size("head_count", in: 1...64)
    let blocks = try header.keys.size("block_count", in: 1...64)
    let plan = try Self.plan(file, base, heads: count, blocks: blocks)
    var reader = WeightReader(
      file, plan, numericClass: base.numericClass, team: team, placement: placement, progress: nil)

    path = file.path
    name = header.name
    baseFingerprint = header.baseFingerprint
    width = base.configuration.width
    vocabularySize = base.configuration.vocabularySize
    var heads: [Head] = []
    for head in 0..<count {
      var made: [Block] = []
      for tensors in plan.layers[head * blocks..<(head + 1) * blocks] {
        made.append(
          Block(
            weight: try reader.matrix(tensors, .residual),
            bias: try reader.optionalVector(tensors, .residualBias)))
      }
      let last = plan.layers[(head + 1) * blocks - 1]
      heads.append(
        Head(blocks: made, output: last[.output] == nil ? nil : try reader.matrix(last, .output)))
    }
    self.heads = heads
    try file.verifyUnchanged()
  }

  /// The tensors of each block, the output with those of a head's last.
  private static func plan(
    _ file: GGUFFile, _ base: TransformerModel, heads: Int, blocks: Int
  ) throws(ModelError) -> TensorPlan {
    let c = base.configuration
    let own = file.tensors["head.0.output.weight"] != nil
    var unused = Set(file.tensors.keys)
    var layers: [[TensorRole: TensorInfo]] = []
    for head in 0..<heads {
      for block in 0..<blocks {
        var slots = [
          TensorSlot(.residual, "blk.\(block).weight", [c.width, c.width]),
          TensorSlot(.residualBias, "blk.\(block).bias", [c.width], optional: true),
        ]
        if own, block == blocks - 1 {
          slots.append(TensorSlot(.output, "output.weight", [c.width, c.vocabularySize]))
        }
        layers.append(try TensorPlan.resolve(slots, prefix: "head.\(head).", file, &unused))
      }
    }
    try TensorPlan.refuse(unused, file, what: "\(heads) Medusa heads of \(blocks) blocks")
    return TensorPlan(configuration: c, model: [:], layers: layers)
  }

  /// Bytes of packed weights in memory.
  public var packedByteCount: Int {
    heads.reduce(0) { sum, head in
      sum + (head.output?.byteCount ?? 0) + head.blocks.reduce(0) { $0 + $1.weight.byteCount }
    }
  }
}
