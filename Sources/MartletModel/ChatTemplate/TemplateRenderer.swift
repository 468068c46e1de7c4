/// Renders a template once, within limits.
///
/// Whatever a template says, a rendering ends: every node, loop turn and comparison is a step, and
/// steps, the bytes of any string and the length of any list are bounded.
struct TemplateRenderer {
  /// How a run of statements ended.
  enum Flow {
    case goesOn, breaks, continues
  }

  static let stepLimit = 1_000_000
  static let byteLimit = 32 << 20
  static let listLimit = 1_000_000
  static let callLimit = 24
  static let nestingLimit = 64

  /// Scope 0 holds what the caller gives, 1 what the template sets at its top, further ones loops.
  var scopes: [[String: TemplateValue]]
  var line = 1
  let date: TemplateDate
  private var steps = 0
  /// Bytes of strings made so far; a template cannot make more than it could ever put out.
  private var bytes = 0
  private var calls = 0
  /// Every namespace made, so that `dissolve` can take them apart.
  private var namespaces: [TemplateNamespace] = []

  init(variables: [String: TemplateValue], date: TemplateDate) {
    scopes = [variables, [:]]
    self.date = date
  }

  // MARK: Limits

  func error(_ message: String) -> ModelError { TemplateText.error(message, line: line) }

  mutating func step(_ count: Int = 1) throws(ModelError) {
    steps += count
    if steps > Self.stepLimit {
      throw error("the template takes more than \(Self.stepLimit) steps")
    }
  }

  /// Accounts for the making of a string.
  mutating func made(_ text: String) throws(ModelError) -> String {
    try willMake(text.utf8.count)
    return text
  }

  /// Accounts for a string of `count` bytes before it is made.
  mutating func willMake(_ count: Int) throws(ModelError) {
    let (sum, overflow) = bytes.addingReportingOverflow(count)
    bytes = sum
    if overflow || bytes > Self.byteLimit {
      throw error("the template makes more than \(Self.byteLimit >> 20) MB of text")
    }
  }

  /// Fails when a value just made nests too deep to be printed, compared or released safely.
  mutating func checkNesting(
    _ value: TemplateValue, depth: Int = 0
  ) throws(ModelError) {
    try step()
    if depth > Self.nestingLimit {
      throw error("values nest deeper than \(Self.nestingLimit)")
    }
    switch value {
    case .list(let items):
      for item in items { try checkNesting(item, depth: depth + 1) }
    case .dictionary(let entries):
      for item in entries.values { try checkNesting(item, depth: depth + 1) }
    case .function(let function):
      if case .method(let owner, _) = function.kind { try checkNesting(owner, depth: depth + 1) }
    default: break
    }
  }

  mutating func makeNamespace(_ values: [String: TemplateValue]) -> TemplateValue {
    let space = TemplateNamespace()
    space.values = values
    namespaces.append(space)
    return .namespace(space)
  }

  /// Empties the namespaces one by one: they may refer to each other in chains and circles.
  mutating func dissolve() {
    for space in namespaces { space.values.removeAll() }
    scopes.removeAll()
  }

  // MARK: Statements

  mutating func render(
    _ nodes: [TemplateNode], into output: inout String
  ) throws(ModelError) -> Flow {
    for node in nodes {
      try step()
      switch node {
      case .text(let text):
        output += try made(text)
      case .output(let expression, let at):
        line = at
        let value = try evaluate(expression)
        output += try made(try text(of: value))
      case .choice(let branches, let otherwise, let at):
        line = at
        var chosen = otherwise
        for (condition, body) in branches {
          guard try evaluate(condition).isTrue else { continue }
          chosen = body
          break
        }
        let flow = try render(chosen, into: &output)
        if flow != .goesOn { return flow }
      case .loop(let loop):
        line = loop.line
        try render(loop, into: &output)
      case .assign(let target, let expression, let at):
        line = at
        try assign(target, try evaluate(expression))
      case .assignBlock(let target, let body, let at):
        line = at
        var text = ""
        let flow = try render(body, into: &text)
        try assign(target, .string(text))
        if flow != .goesOn { return flow }
      case .macro(let macro):
        scopes[scopes.count - 1][macro.name] = .function(TemplateFunction(kind: .macro(macro)))
      case .breakLoop: return .breaks
      case .continueLoop: return .continues
      }
    }
    return .goesOn
  }

  private mutating func assign(
    _ target: TemplateTarget, _ value: TemplateValue
  ) throws(ModelError) {
    switch target {
    case .names(let names):
      try bind(names, value)
    case .attribute(let owner, let name):
      guard case .namespace(let space) = lookUp(owner) else {
        throw error("'\(owner).\(name)' cannot be set: '\(owner)' is no namespace")
      }
      space.values[name] = value
    }
  }

  private mutating func bind(_ names: [String], _ value: TemplateValue) throws(ModelError) {
    if names.count == 1 {
      scopes[scopes.count - 1][names[0]] = value
      return
    }
    let items = try elements(of: value)
    guard items.count == names.count else {
      throw error("\(items.count) values cannot be taken apart into \(names.count) names")
    }
    for (name, item) in zip(names, items) { scopes[scopes.count - 1][name] = item }
  }

  private mutating func render(
    _ loop: TemplateLoop, into output: inout String
  ) throws(ModelError) {
    var items = try elements(of: try evaluate(loop.items))
    scopes.append([:])
    defer { scopes.removeLast() }
    if let condition = loop.condition {
      var kept: [TemplateValue] = []
      for item in items {
        try step()
        try bind(loop.names, item)
        if try evaluate(condition).isTrue { kept.append(item) }
      }
      items = kept
    }
    if items.isEmpty {
      _ = try render(loop.otherwise, into: &output)
      return
    }
    let depth = scopes.dropLast().count { $0["loop"] != nil }
    for index in items.indices {
      // Making the loop variable costs about as much as this many nodes.
      try step(8)
      scopes[scopes.count - 1].removeAll(keepingCapacity: true)
      scopes[scopes.count - 1]["loop"] = loopVariable(items, index, depth: depth)
      try bind(loop.names, items[index])
      if try render(loop.body, into: &output) == .breaks { break }
    }
  }

  private func loopVariable(
    _ items: [TemplateValue], _ index: Int, depth: Int
  ) -> TemplateValue {
    let missing = TemplateValue.undefined(name: "loop neighbour")
    return [
      "index": .integer(index + 1), "index0": .integer(index),
      "first": .bool(index == 0), "last": .bool(index == items.count - 1),
      "length": .integer(items.count), "revindex": .integer(items.count - index),
      "revindex0": .integer(items.count - index - 1),
      "previtem": index > 0 ? items[index - 1] : missing,
      "nextitem": index + 1 < items.count ? items[index + 1] : missing,
      "depth": .integer(depth + 1), "depth0": .integer(depth),
      "cycle": .function(TemplateFunction(kind: .cycle(index))),
    ]
  }

  // MARK: Names and calls

  func lookUp(_ name: String) -> TemplateValue {
    for scope in scopes.reversed() {
      if let value = scope[name] { return value }
    }
    if Self.globals.contains(name) { return .function(TemplateFunction(kind: .global(name))) }
    return .undefined(name: name)
  }

  static let globals: Set<String> = [
    "range", "namespace", "dict", "raise_exception", "strftime_now",
  ]

  mutating func call(
    _ macro: TemplateMacro, _ arguments: TemplateCall
  ) throws(ModelError) -> TemplateValue {
    calls += 1
    defer { calls -= 1 }
    if calls > Self.callLimit {
      throw error("macros call each other more than \(Self.callLimit) deep")
    }
    var local: [String: TemplateValue] = [:]
    guard arguments.positional.count <= macro.parameters.count else {
      throw error("macro '\(macro.name)' takes at most \(macro.parameters.count) arguments")
    }
    for (name, value) in arguments.named {
      guard macro.parameters.contains(where: { $0.name == name }) else {
        throw error("macro '\(macro.name)' has no parameter '\(name)'")
      }
      local[name] = value
    }
    for (parameter, value) in zip(macro.parameters, arguments.positional) {
      local[parameter.name] = value
    }
    // A macro sees the top of the template and its own parameters, not its caller's loops.
    let outer = (scopes, line)
    defer { (scopes, line) = outer }
    scopes = [scopes[0], scopes[1], local]
    for parameter in macro.parameters where scopes[2][parameter.name] == nil {
      guard let fallback = parameter.fallback else {
        scopes[2][parameter.name] = .undefined(name: parameter.name)
        continue
      }
      scopes[2][parameter.name] = try evaluate(fallback)
    }
    var text = ""
    _ = try render(macro.body, into: &text)
    return .string(text)
  }

  /// The elements of a value that can be looped over.
  mutating func elements(of value: TemplateValue) throws(ModelError) -> [TemplateValue] {
    switch value {
    case .list(let items): return items
    case .dictionary(let entries): return entries.keys
    case .string(let text):
      try step(text.utf8.count / 16)
      return text.unicodeScalars.map { .string(String($0)) }
    case .undefined: return []
    default: throw error("\(value.kindName) cannot be looped over")
    }
  }
}

/// Evaluated arguments.
struct TemplateCall {
  var positional: [TemplateValue] = []
  var named: [(String, TemplateValue)] = []

  /// The argument at `index` or named `name`.
  func argument(_ index: Int, _ name: String) -> TemplateValue? {
    index < positional.count
      ? positional[index] : named.last { $0.0 == name }?.1
  }

  var isEmpty: Bool { positional.isEmpty && named.isEmpty }
}
