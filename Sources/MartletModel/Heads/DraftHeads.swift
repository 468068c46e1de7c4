import MartletKernels

/// Heads that guess a base model's coming tokens from its hidden states: what drafts are made with
/// where somebody trained them for that model.
///
/// They read features: the base model's hidden states after its final norm, from which its logits are
/// computed. `Benchmarks/Model/train_heads.py` trains and writes the files.
public enum DraftHeads: Sendable {
  /// Residual blocks that guess several tokens ahead from one feature.
  case medusa(MedusaHeads)
  /// A decoder layer that continues the features themselves.
  case eagle(EagleHead)

  /// Opens `path` and packs its weights as `base` has packed its own.
  ///
  /// - Parameters:
  ///   - base: the model that the heads were trained for, whose embeddings and output they use.
  ///   - team: threads that share the packing.
  ///   - placement: where the weights lie on a machine with several NUMA nodes.
  /// - Throws: `ModelError` as for models; `unsupported` for a file of another kind, `shape` for
  ///   heads of another width or vocabulary than the base model's.
  public static func load(
    path: String, base: TransformerModel, team: (any ParallelFor)? = nil,
    placement: WeightPlacement? = nil
  ) throws(ModelError) -> DraftHeads {
    let file = try GGUFFile(path: path)
    switch try file.metadata.string("general.architecture") {
    case MedusaHeads.architecture:
      return .medusa(try MedusaHeads(file, base, team, placement))
    case EagleHead.architecture:
      return .eagle(try EagleHead(file, base, team, placement))
    case let other:
      throw ModelError(
        .unsupported,
        "\(path): architecture '\(other)' is not a draft head's. This version reads "
          + "\(MedusaHeads.architecture) and \(EagleHead.architecture).")
    }
  }

  /// The model's name as the file gives it, or the kind of head.
  public var name: String {
    switch self {
    case .medusa(let heads): heads.name
    case .eagle(let head): head.configuration.name
    }
  }

  /// The fingerprint of the model they were trained for, if the file says. Heads work on another
  /// model of the same shape, such as the same one quantised; they only guess worse.
  public var baseFingerprint: String? {
    switch self {
    case .medusa(let heads): heads.baseFingerprint
    case .eagle(let head): head.baseFingerprint
    }
  }

  /// Bytes of packed weights in memory, without those of the base model that they use.
  public var packedByteCount: Int {
    switch self {
    case .medusa(let heads): heads.packedByteCount
    case .eagle(let head): head.packedByteCount
    }
  }
}

/// What both kinds of file say of the base model.
struct HeadsFile {
  let keys: ArchitectureKeys
  let name: String
  let baseFingerprint: String?

  /// Reads it and refuses heads of another shape than `base`.
  init(
    _ file: GGUFFile, architecture: String, base: TransformerModel
  ) throws(ModelError) {
    keys = ArchitectureKeys(file, architecture: architecture)
    name = try file.metadata.optionalString("general.name") ?? architecture
    baseFingerprint = try file.metadata.optionalString("martlet.base.fingerprint")
    let c = base.configuration
    for (suffix, limit, theirs, what) in [
      ("embedding_length", 1 << 20, c.width, "hidden states of that many elements"),
      ("vocab_size", 1 << 24, c.vocabularySize, "a vocabulary of that many tokens"),
    ] {
      let ours = try keys.size(suffix, in: 1...limit)
      guard ours == theirs else {
        throw ModelError(
          .shape,
          "\(file.path): '\(keys.key(suffix))' is \(ours), but the base model '\(c.name)' "
            + "(\(base.path)) has \(theirs): these heads were trained for another model, with "
            + "\(what).")
      }
    }
  }
}
