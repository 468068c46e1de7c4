/// Arrays whose items are all different.
extension SchemaCompiler {
  /// The most values that items are chosen from: the automaton has a state for every set of them.
  private static let valueLimit = 10

  /// An array of different values out of a few; nil where `uniqueItems` asks for nothing.
  mutating func uniqueArray(_ schema: Schema) throws(EngineError) -> PatternGraph.Fragment? {
    switch schema["uniqueItems"] {
    case nil, .flag(false)?: return nil
    case .flag(true)?: break
    case let other?: throw schema.failure("uniqueItems", "must be a boolean, not \(other.kindName)")
    }
    let least = try schema.count("minItems") ?? 0
    let most = try schema.count("maxItems") ?? .max
    if most <= 1 { return nil }
    var values: [JSONText]?
    if !schema.has("prefixItems"), let items = try schema.schema("items") {
      values = try Self.fewValues(try SchemaMerging(document).flattened(items))
    }
    guard let values, values.count <= Self.valueLimit else {
      throw schema.failure(
        "uniqueItems",
        "items can be kept apart where 'items' lists at most \(Self.valueLimit) values (enum, const, "
          + "boolean or null), or maxItems is 1; list the values, or leave uniqueItems out")
    }
    guard least <= min(values.count, most) else {
      throw schema.failure(
        "minItems", "\(least) different items of \(values.count) values, at most \(most)")
    }
    let begin = try sign("[")
    let close = try sign("]", spaceBefore: true)
    // Where the text stands when these values were written.
    var nodes: [Int32] = [begin.end]
    for _ in 1..<(1 << values.count) { nodes.append(try graph.node()) }
    for (set, node) in nodes.enumerated() where set.nonzeroBitCount <= min(most, values.count) {
      if set.nonzeroBitCount >= least { graph.connect(node, close.start) }
      guard set.nonzeroBitCount < most else { continue }
      let comma = set == 0 ? try graph.empty() : try sign(",")
      graph.connect(node, comma.start)
      for (index, value) in values.enumerated() where set >> index & 1 == 0 {
        let item = try literal(value)
        graph.connect(comma.end, item.start)
        graph.connect(item.end, nodes[set | 1 << index])
      }
    }
    return .init(start: begin.start, end: close.end)
  }

  /// The values of a schema that has but a few; nil for others.
  private static func fewValues(_ schema: Schema) throws(EngineError) -> [JSONText]? {
    if schema.isImpossible { return [] }
    try schema.checkKeywords()
    var values: [JSONText] = []
    if let listed = try SchemaMerging.values(of: schema) {
      for value in listed where !values.contains(where: { $0.isSameValue(as: value) }) {
        values.append(value)
      }
      return values
    }
    guard schema.assertions.count == 1, let types = try schema.statedTypes() else { return nil }
    for type in types.sorted() {
      switch type {
      case .boolean: values += [.flag(true), .flag(false)]
      case .null: values.append(.null)
      default: return nil
      }
    }
    return values
  }
}
