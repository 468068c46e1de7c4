import MartletKernels

extension TransformerBackend {
  /// The machine, the model's shape, how it rounds, and the threads.
  public var costIdentity: String? {
    "\(parts.tuningIdentity); \(kvType.rawValue) keys and values; \(team.width) threads: "
      + "\(team.plan.description); attention \(attentionMethod.name)"
  }
}

extension TransformerParts {
  /// The machine and the model's shape: what measured figures depend on before threads are chosen.
  var tuningIdentity: String {
    let c = configuration
    let matrices = layers.flatMap(\.matrices) + [output]
    let types = Dictionary(grouping: matrices, by: \.type)
      .map { "\($1.reduce(0) { $0 + $1.byteCount }) bytes of \($0.name)" }.sorted()
    return "\(TuningIdentity.machine); \(c.architecture) of \(c.layers) layers, width \(c.width), "
      + "\(c.queryHeads)/\(c.kvHeads) heads of \(c.headDimensions), feed-forward "
      + "\(c.feedForwardWidth), vocabulary \(c.vocabularySize); \(types.joined(separator: ", ")); "
      + "\(output.numericClass.rawValue), layout \(PackedLayout.version)"
  }
}
