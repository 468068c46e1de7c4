/// A family of models: how its metadata becomes a configuration and what its tensors are called.
///
/// To add one: write a page like `Llama.swift`, add it to `Architectures.all`, and give
/// Benchmarks/Golden a model of it to check against.
public protocol Architecture {
  /// The value of `general.architecture`.
  static var id: String { get }

  /// Reads and checks the configuration. Throws `missing`, `value` or `unsupported` naming the key.
  static func configuration(
    from keys: ArchitectureKeys
  ) throws(ModelError) -> TransformerConfiguration

  /// The tensors outside the blocks.
  static func tensors(_ configuration: TransformerConfiguration) -> [TensorSlot]

  /// The tensors of one block; their names get the prefix `blk.N.`.
  static func layerTensors(_ configuration: TransformerConfiguration) -> [TensorSlot]
}

/// What a tensor is for.
public enum TensorRole: String, Sendable, CaseIterable {
  case tokenEmbedding, outputNorm, output, ropeFactors
  case attentionNorm, query, key, value, attentionOutput
  case queryBias, keyBias, valueBias, queryNorm, keyNorm
  case feedForwardNorm, gate, up, down
  /// Of draft heads: a residual block's matrix, and what joins a token's embedding and a feature.
  case residual, residualBias, fusion, fusionBias
}

/// One tensor that an architecture expects.
public struct TensorSlot: Sendable, Equatable {
  /// What it is for.
  public var role: TensorRole
  /// Its name in the file (after `blk.N.` for a block's).
  public var name: String
  /// The shape it must have, contiguous dimension first: [depth, outputs] for a matrix.
  public var shape: [Int]
  /// Whether a file without it is sound.
  public var optional: Bool

  /// A tensor; required unless `optional`.
  public init(_ role: TensorRole, _ name: String, _ shape: [Int], optional: Bool = false) {
    self.role = role
    self.name = name
    self.shape = shape
    self.optional = optional
  }
}

/// The architectures this version runs.
public enum Architectures {
  /// All of them.
  public static var all: [any Architecture.Type] { [Llama.self, Qwen2.self, Qwen3.self] }

  /// The architecture a file names. Throws `unsupported` listing those there are.
  public static func find(_ metadata: GGUFMetadata) throws(ModelError) -> any Architecture.Type {
    let id = try metadata.string("general.architecture")
    guard let found = all.first(where: { $0.id == id }) else {
      throw ModelError(
        .unsupported,
        "\(metadata.source): architecture '\(id)' is not one this version runs. "
          + "It runs \(all.map { $0.id }.joined(separator: ", ")).")
    }
    return found
  }
}
