/// Objects and arrays.
extension SchemaCompiler {
  mutating func object(_ schema: Schema) throws(EngineError) -> PatternGraph.Fragment {
    let listed = try schema.members("properties")
    let required = try schema.texts("required") ?? []
    // Objects that list their members get no others unless the schema asks for them.
    var others: Schema? =
      listed == nil ? Schema(path: "#/true", keywords: []) : nil
    if schema.has("additionalProperties") { others = try schema.schema("additionalProperties") }
    if others?.isImpossible ?? false { others = nil }
    let rules = try MemberRules(schema, document)
    // Patterns list members too.
    if let rules, rules.hasPatterns, !schema.has("additionalProperties") { others = nil }

    var members: [(name: String, schema: Schema, isRequired: Bool)] = []
    for member in listed ?? [] {
      let path = "\(schema.path)/properties/\(Self.escaped(member.key))"
      let isRequired = required.contains(member.key)
      let own = try Schema(member.value, path: path)
      guard try rules?.allows(member.key) ?? true else {
        if isRequired { return try graph.impossible() }
        continue
      }
      members.append(
        (member.key, try rules?.schema(of: member.key, own) ?? own, isRequired))
    }
    for name in required where !members.contains(where: { $0.name == name }) {
      guard try rules?.allows(name) ?? true else { return try graph.impossible() }
      if let matched = try rules?.schema(of: name, nil) {
        members.append((name, matched, true))
        continue
      }
      if schema.has("additionalProperties"), others == nil {
        throw schema.failure(
          "required",
          "'\(name)' is required and additionalProperties is false; list it in properties")
      }
      members.append((name, others ?? Schema(path: "#/true", keywords: []), true))
    }
    let names = members.map(\.name)
    let free = try rules?.others(than: names, additional: others)
    let rest = free ?? others.map { [OtherMembers(names: nil, schema: $0)] } ?? []
    let least = try schema.count("minProperties") ?? 0
    let most = try schema.count("maxProperties")
    guard least > 0 || most != nil else { return try self.members(members, others: rest) }
    let needed = max(least, members.count(where: \.isRequired))
    if let most, most < needed {
      throw schema.failure(
        "maxProperties", "\(most) is less than the \(needed) members that are needed")
    }
    // Other members may repeat a name, so only one of them is sure to count.
    guard least <= members.count + (rest.isEmpty ? 0 : 1) else {
      throw schema.failure(
        "minProperties",
        "\(least) members cannot be made sure of: properties and required name \(members.count), and "
          + "other members may repeat a name; name more, or ask for fewer")
    }
    return try self.members(members, others: rest, least: least, most: most ?? .max)
  }

  /// ``members(_:others:)`` with at least `least` and at most `most` of them: a layer of the automaton
  /// for every number of members written.
  private mutating func members(
    _ members: [(name: String, schema: Schema, isRequired: Bool)], others: [OtherMembers],
    least: Int,
    most: Int
  ) throws(EngineError) -> PatternGraph.Fragment {
    let begin = try sign("{")
    let close = try sign("}", spaceBefore: true)
    // By members written so far: where the text stands then.
    var layers: [Int: Int32] = [0: begin.end]
    for member in members {
      var following: [Int: Int32] = member.isRequired ? [:] : layers
      for (count, at) in layers.sorted(by: { $0.key < $1.key }) where count < most {
        let body = try graph.sequence([try key(member.name), try value(member.schema)])
        if count > 0 {
          try connectByComma(at, body.start)
        } else {
          graph.connect(at, body.start)
        }
        let after = try graph.node()
        graph.connect(body.end, after)
        if let skipped = following[count + 1] { graph.connect(skipped, after) }
        following[count + 1] = after
      }
      layers = following
    }
    let names = members.map(\.name)
    for (listed, start) in layers.sorted(by: { $0.key < $1.key }) {
      if listed >= least { graph.connect(start, close.start) }
      guard !others.isEmpty else { continue }
      var at = start
      // Without a bound the second one repeats.
      for written in 0..<(most == .max ? 2 : most - listed) {
        guard let body = try otherMember(others, than: names, path: "an object") else { break }
        if listed + written > 0 {
          try connectByComma(at, body.start)
        } else {
          graph.connect(at, body.start)
        }
        at = try graph.node()
        graph.connect(body.end, at)
        if listed + 1 >= least { graph.connect(at, close.start) }
        if most == .max, written == 1 { try connectByComma(at, body.start) }
      }
    }
    return .init(start: begin.start, end: close.end)
  }

  private static func escaped(_ name: String) -> String {
    name.replacing("~", with: "~0").replacing("/", with: "~1")
  }

  /// Members in this order, those that are not required perhaps; then any number of others.
  private mutating func members(
    _ members: [(name: String, schema: Schema, isRequired: Bool)], others: [OtherMembers]
  ) throws(EngineError) -> PatternGraph.Fragment {
    let begin = try sign("{")
    // `first` comes from where no member was written yet, `later` from where some was.
    var first: Int32? = begin.end
    var later: Int32?
    for member in members {
      let body = try graph.sequence([try key(member.name), try value(member.schema)])
      let entry = try graph.node()
      graph.connect(entry, body.start)
      if let first { graph.connect(first, entry) }
      if let later { try connectByComma(later, entry) }
      let after = try graph.node()
      graph.connect(body.end, after)
      if member.isRequired {
        first = nil
      } else if let later {
        graph.connect(later, after)
      }
      later = after
    }
    if let body = try otherMember(others, than: members.map(\.name), path: "an object") {
      let after = try graph.node()
      graph.connect(body.end, after)
      if let first { graph.connect(first, body.start) }
      if let later { graph.connect(later, after) }
      try connectByComma(after, body.start)
      later = after
    }
    let close = try sign("}", spaceBefore: true)
    if let first { graph.connect(first, close.start) }
    if let later { graph.connect(later, close.start) }
    return .init(start: begin.start, end: close.end)
  }

  private mutating func connectByComma(_ from: Int32, _ to: Int32) throws(EngineError) {
    let comma = try sign(",")
    graph.connect(from, comma.start)
    graph.connect(comma.end, to)
  }

  /// A string that is none of `names`: a walk through the tree of their characters that leaves it or
  /// ends between names. Each name is written in one way only, so that no escape hides one.
  mutating func otherNames(
    than names: [String]
  ) throws(EngineError) -> PatternGraph.Fragment {
    guard !names.isEmpty else { return try anyString() }
    let end = try graph.node()
    let free = try graph.node()
    let any = try graph.scalar(.all, .json)
    graph.connect(free, any.start)
    graph.connect(any.end, free)
    graph.connect(free, end)
    var nodes: [[Unicode.Scalar]: Int32] = [[]: try graph.node()]
    var children: [[Unicode.Scalar]: Set<Unicode.Scalar>] = [:]
    for name in names {
      let scalars = Array(name.unicodeScalars)
      for length in 0..<scalars.count {
        let prefix = Array(scalars[..<length])
        children[prefix, default: []].insert(scalars[length])
        let longer = Array(scalars[...length])
        if nodes[longer] == nil { nodes[longer] = try graph.node() }
      }
    }
    let whole = Set(names.map { Array($0.unicodeScalars) })
    for (prefix, node) in nodes.sorted(by: { $0.value < $1.value }) {
      let following = (children[prefix] ?? []).sorted()
      for scalar in following {
        let step = try graph.scalar(ScalarSet(scalar), .json)
        graph.connect(node, step.start)
        graph.connect(step.end, nodes[prefix + [scalar]]!)
      }
      let taken = ScalarSet(following.map { $0.value...$0.value })
      let leaving = try graph.scalar(taken.complement, .json)
      graph.connect(node, leaving.start)
      graph.connect(leaving.end, free)
      if !whole.contains(prefix) { graph.connect(node, end) }
    }
    return try quoted(.init(start: nodes[[]]!, end: end))
  }

  mutating func array(_ schema: Schema) throws(EngineError) -> PatternGraph.Fragment {
    if let different = try uniqueArray(schema) { return different }
    let prefix = try schema.schemas("prefixItems") ?? []
    var items: Schema? = Schema(path: "#/true", keywords: [])
    if schema.has("items") {
      if case .list = schema["items"] {
        throw schema.failure(
          "items", "a list of schemas is written prefixItems since draft 2020-12")
      }
      items = try schema.schema("items")
    } else if schema.has("prefixItems") {
      items = nil  // As for properties: what is listed, and no more.
    }
    if items?.isImpossible ?? false { items = nil }
    let least = try schema.count("minItems") ?? 0
    var most = try schema.count("maxItems")
    if items == nil { most = min(most ?? .max, prefix.count) }
    if let most, most < least {
      throw schema.failure(
        "minItems", "\(least) items are needed where at most \(most) are allowed")
    }
    return try elements(prefix, items, least: least, most: most, path: schema.path)
  }

  private mutating func elements(
    _ prefix: [Schema], _ items: Schema?, least: Int, most: Int?, path: String
  ) throws(EngineError) -> PatternGraph.Fragment {
    let begin = try sign("[")
    let close = try sign("]", spaceBefore: true)
    var at = begin.end
    /// How many elements are written out before the rest repeats.
    let written = most ?? max(least, prefix.count, 1)
    guard written <= PatternGraph.nodeLimit / 16 else {
      throw EngineError(
        .argument,
        "JSON schema, \(path), '\(most == nil ? "minItems" : "maxItems")': \(written) items need more "
          + "nodes than the limit, \(PatternGraph.nodeLimit); use a smaller number")
    }
    if least == 0 { graph.connect(at, close.start) }
    for index in 0..<written {
      let schema = index < prefix.count ? prefix[index] : items!
      let element = try value(schema)
      if index > 0 {
        try connectByComma(at, element.start)
      } else {
        graph.connect(at, element.start)
      }
      at = try graph.node()
      graph.connect(element.end, at)
      if index + 1 >= least { graph.connect(at, close.start) }
    }
    if most == nil, let items {
      let element = try value(items)
      try connectByComma(at, element.start)
      graph.connect(element.end, at)
    }
    return .init(start: begin.start, end: close.end)
  }
}
