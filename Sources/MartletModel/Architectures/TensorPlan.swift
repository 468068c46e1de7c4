import MartletKernels

/// Every tensor of a model found, with its shape and type checked against the configuration.
struct TensorPlan {
  let configuration: TransformerConfiguration
  /// Tensors outside the blocks.
  let model: [TensorRole: TensorInfo]
  /// Tensors of each block.
  let layers: [[TensorRole: TensorInfo]]

  /// Reads the configuration of `file` and finds all its tensors.
  ///
  /// Throws `missing` for an absent tensor, `shape` for one of another shape, `unsupported` for a
  /// type without kernels or a tensor that the architecture does not know (running without it
  /// would give wrong answers).
  static func make(_ file: GGUFFile) throws(ModelError) -> TensorPlan {
    let architecture = try Architectures.find(file.metadata)
    let keys = ArchitectureKeys(file, architecture: architecture.id)
    let configuration = try architecture.configuration(from: keys)
    var unused = Set(file.tensors.keys)

    let model = try resolve(
      architecture.tensors(configuration), prefix: "", file, &unused)
    let slots = architecture.layerTensors(configuration)
    var layers: [[TensorRole: TensorInfo]] = []
    for layer in 0..<configuration.layers {
      layers.append(try resolve(slots, prefix: "blk.\(layer).", file, &unused))
    }
    // Rotation frequencies that old converters stored; they follow from the metadata.
    unused = unused.filter { !$0.hasSuffix(".attn_rot_embd.weight") }
    try refuse(
      unused, file, what: "a \(configuration.layers)-layer '\(architecture.id)' model")
    return TensorPlan(configuration: configuration, model: model, layers: layers)
  }

  /// Every tensor that is packed, in file-independent order, with the size it will have: the blocks'
  /// matrices, then the output (the embedding table where it is tied).
  func matrices(_ numericClass: NumericClass) throws(KernelError) -> [PlannedMatrix] {
    let roles: [TensorRole] = [
      .query, .key, .value, .attentionOutput, .gate, .up, .down,
    ]
    let tensors =
      layers.flatMap { layer in roles.compactMap { layer[$0] } }
      + [model[.output] ?? model[.tokenEmbedding]].compactMap(\.self)
    var result: [PlannedMatrix] = []
    for tensor in tensors {
      guard let type = tensor.type.weightType, tensor.shape.count >= 2 else { continue }
      result.append(
        PlannedMatrix(
          tensor: tensor,
          shape: try PackedShape(
            type: type, numericClass: numericClass, outputs: tensor.shape[1],
            depth: tensor.shape[0])))
    }
    return result
  }

  /// Throws `unsupported` if tensors were left that nothing reads.
  static func refuse(
    _ unused: Set<String>, _ file: GGUFFile, what: String
  ) throws(ModelError) {
    guard let name = unused.min() else { return }
    throw ModelError(
      .unsupported,
      "\(file.path): tensor '\(name)' (and \(unused.count - 1) more) is no part of "
        + "\(what) as this version knows it.")
  }

  /// Finds the tensors of `slots` and checks them; takes their names out of `unused`.
  static func resolve(
    _ slots: [TensorSlot], prefix: String, _ file: GGUFFile, _ unused: inout Set<String>
  ) throws(ModelError) -> [TensorRole: TensorInfo] {
    var found: [TensorRole: TensorInfo] = [:]
    for slot in slots {
      let name = prefix + slot.name
      guard let tensor = file.tensors[name] else {
        if slot.optional { continue }
        throw ModelError(
          .missing, "\(file.path): tensor '\(name)' is missing. The file is incomplete.")
      }
      try check(tensor, slot, file.path)
      unused.remove(name)
      found[slot.role] = tensor
    }
    return found
  }

  private static func check(
    _ tensor: TensorInfo, _ slot: TensorSlot, _ path: String
  ) throws(ModelError) {
    // A trailing dimension of 1 changes nothing.
    var shape = tensor.shape
    while shape.count > slot.shape.count, shape.last == 1 { shape.removeLast() }
    guard shape == slot.shape else {
      throw ModelError(
        .shape,
        "\(path): tensor '\(tensor.name)' has shape \(tensor.shapeText), but the metadata calls "
          + "for [\(slot.shape.map(String.init).joined(separator: ", "))]. "
          + "The file is damaged or was converted wrongly.")
    }
    let types = slot.shape.count == 1 ? [.f32, .f16, .bf16] : WeightType.allCases
    guard let type = tensor.type.weightType, types.contains(type) else {
      throw ModelError(
        .unsupported,
        "\(path): tensor '\(tensor.name)' is stored as \(tensor.type.name); it can be "
          + "\(types.map(\.name).joined(separator: ", ")). Quantise the model to one of them.")
    }
  }
}
