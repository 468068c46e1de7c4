extension TemplateRenderer {
  mutating func filter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateCall
  ) throws(ModelError) -> TemplateValue {
    switch name {
    case "default", "d":
      let replaces =
        value.isUndefined
        || (arguments.argument(1, "boolean")?.isTrue == true && !value.isTrue)
      return replaces ? arguments.argument(0, "default_value") ?? "" : value
    case "length", "count": return .integer(try length(of: value))
    case "first", "last":
      let items = try elements(of: value)
      return (name == "first" ? items.first : items.last) ?? .undefined(name: "\(name) item")
    case "list": return .list(try elements(of: value))
    case "string": return .string(try made(text(of: value)))
    case "safe": return value
    case "items":
      switch value {
      case .dictionary: return try call(attribute(value, "items"), TemplateCall())
      case .undefined: return .list([])
      default: throw error("'items' needs a dictionary, not \(value.kindName)")
      }
    case "tojson":
      let indent = arguments.argument(0, "indent").flatMap { $0.integer }
      guard indent.map({ (0...16).contains($0) }) ?? true else {
        throw error("'tojson' takes an indent of 0 to 16")
      }
      return .string(
        try made(
          json(
            value, indent: indent, sorted: arguments.argument(3, "sort_keys")?.isTrue ?? false,
            escapesUnicode: arguments.argument(9, "ensure_ascii")?.isTrue ?? false)))
    case "trim", "upper", "lower", "capitalize", "title", "replace", "indent":
      return try textFilter(name, text(of: value), arguments)
    case "int", "float", "abs", "round": return try numberFilter(name, value, arguments)
    case "join", "reverse", "sort", "unique", "sum", "min", "max", "map", "select", "reject",
      "selectattr", "rejectattr", "dictsort":
      return try listFilter(name, value, arguments)
    default: throw error("the filter '\(name)' is not supported")
    }
  }

  private func length(of value: TemplateValue) throws(ModelError) -> Int {
    switch value {
    case .string(let text): return text.unicodeScalars.count
    case .list(let items): return items.count
    case .dictionary(let entries): return entries.count
    case .undefined: return 0
    default: throw error("\(value.kindName) has no length")
    }
  }

  private mutating func textFilter(
    _ name: String, _ text: String, _ arguments: TemplateCall
  ) throws(ModelError) -> TemplateValue {
    try step(text.utf8.count / 64)
    switch name {
    case "trim":
      let set = try optionalString(arguments.argument(0, "chars"), "the argument of 'trim'")
      return .string(try made(TemplateText.strip(text, set)))
    case "upper": return .string(try made(text.uppercased()))
    case "lower": return .string(try made(text.lowercased()))
    case "capitalize": return .string(try made(TemplateText.capitalized(text)))
    case "title":
      var result = ""
      var starts = true
      for scalar in text.unicodeScalars {
        result += starts ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
        starts = "-([{<".unicodeScalars.contains(scalar) || TemplateText.isSpace(scalar)
      }
      return .string(try made(result))
    case "replace":
      let old = try string(arguments.argument(0, "old"), "what 'replace' looks for")
      let new = try string(arguments.argument(1, "new"), "what 'replace' puts")
      let limit = arguments.argument(2, "count")?.integer ?? -1
      // Every byte could be one occurrence.
      let most = text.utf8.count / max(1, old.utf8.count) + 1
      let (size, overflow) = most.multipliedReportingOverflow(by: new.utf8.count)
      if overflow || size > Self.byteLimit {
        try willMake(
          text.utf8.count + (TemplateText.pieces(text, old).count - 1) * new.utf8.count)
      }
      return .string(
        try made(TemplateText.replace(text, old, new, limit: limit < 0 ? .max : limit)))
    default: return .string(try indented(text, arguments))
    }
  }

  private mutating func indented(
    _ text: String, _ arguments: TemplateCall
  ) throws(ModelError) -> String {
    var indent = "    "
    switch arguments.argument(0, "width") {
    case .string(let text)?: indent = text
    case .integer(let width)? where (0...1000).contains(width):
      indent = String(repeating: " ", count: width)
    case nil: break
    default: throw error("'indent' takes a width of 0 to 1000 or a string")
    }
    let indentsFirst = arguments.argument(1, "first")?.isTrue ?? false
    let indentsBlank = arguments.argument(2, "blank")?.isTrue ?? false
    let lines = TemplateText.lines(text + "\n")
    try willMake(lines.count * (indent.utf8.count + 1) + text.utf8.count)
    var result = ""
    for (index, line) in lines.enumerated() {
      if index > 0 { result += "\n" }
      if index > 0 ? indentsBlank || !line.isEmpty : indentsFirst { result += indent }
      result += line
    }
    return result
  }

  private mutating func numberFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateCall
  ) throws(ModelError) -> TemplateValue {
    switch (name, value) {
    case ("int", .string(let text)):
      let stripped = TemplateText.strip(text, nil)
      if let number = Int(stripped) { return .integer(number) }
      if let number = Double(stripped), number.magnitude < 1e18 { return .integer(Int(number)) }
      return arguments.argument(0, "default") ?? 0
    case ("int", .float(let number)) where number.magnitude < 1e18: return .integer(Int(number))
    case ("int", _):
      return value.integer.map { .integer($0) } ?? arguments.argument(0, "default") ?? 0
    case ("float", .string(let text)):
      return Double(TemplateText.strip(text, nil)).map { .float($0) }
        ?? arguments.argument(0, "default") ?? .float(0)
    case ("float", _):
      return value.number.map { .float($0) } ?? arguments.argument(0, "default") ?? .float(0)
    case ("abs", .integer(let number)) where number != .min: return .integer(abs(number))
    case ("abs", .float(let number)): return .float(abs(number))
    case ("round", _):
      guard let number = value.number, arguments.isEmpty else {
        throw error("'round' is supported for numbers without arguments")
      }
      return .float(number.rounded(.toNearestOrEven))
    default: throw error("'\(name)' does not apply to \(value.kindName)")
    }
  }

  private mutating func listFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateCall
  ) throws(ModelError) -> TemplateValue {
    switch name {
    case "reverse":
      if case .string(let text) = value {
        return .string(try made(TemplateText.string(text.unicodeScalars.reversed())))
      }
      return .list(try elements(of: value).reversed())
    case "join":
      let separator = try text(of: arguments.argument(0, "d") ?? "")
      var result = ""
      for (index, item) in try elements(of: value).enumerated() {
        try step()
        let part = arguments.argument(1, "attribute") ?? .none
        let shown = if case .string(let name) = part { try path(item, name) } else { item }
        let piece = try text(of: shown)
        try willMake(piece.utf8.count + separator.utf8.count)
        if index > 0 { result += separator }
        result += piece
      }
      return .string(result)
    // What is empty or none has nothing to choose from.
    case "map" where !value.isTrue, "select" where !value.isTrue, "reject" where !value.isTrue,
      "selectattr" where !value.isTrue, "rejectattr" where !value.isTrue:
      return .list([])
    case "map":
      var result: [TemplateValue] = []
      for item in try elements(of: value) {
        try step()
        if let attribute = arguments.argument(9, "attribute") {
          let found = try path(item, try string(attribute, "the attribute of 'map'"))
          let fallback = arguments.argument(9, "default")
          result.append(found.isUndefined ? fallback ?? found : found)
        } else {
          let inner = try string(arguments.positional.first, "the filter of 'map'")
          let rest = TemplateCall(positional: Array(arguments.positional.dropFirst()))
          result.append(try filter(inner, item, rest))
        }
      }
      return .list(result)
    case "select", "reject", "selectattr", "rejectattr":
      return try selected(name, value, arguments)
    case "unique":
      var result: [TemplateValue] = []
      for item in try elements(of: value) {
        if !(try contains(.list(result), item)) { result.append(item) }
      }
      return .list(result)
    case "sum":
      var sum: TemplateValue = 0
      for item in try elements(of: value) {
        guard let number = item.number, let before = sum.number else {
          throw error("'sum' needs numbers")
        }
        if let a = sum.integer, let b = item.integer {
          let (total, overflow) = a.addingReportingOverflow(b)
          guard !overflow else { throw error("the sum is too large") }
          sum = .integer(total)
        } else {
          sum = .float(before + number)
        }
      }
      return sum
    case "dictsort":
      guard case .dictionary(let entries) = value, arguments.isEmpty else {
        throw error("'dictsort' is supported for dictionaries without arguments")
      }
      var pairs: [TemplateValue] = []
      for key in try sorted(entries.keys) { pairs.append(.list([key, entries[key] ?? .none])) }
      return .list(pairs)
    default:
      guard arguments.isEmpty else { throw error("'\(name)' is supported without arguments") }
      let items = try sorted(elements(of: value))
      switch name {
      case "sort": return .list(items)
      case "min": return items.first ?? .undefined(name: "min")
      default: return items.last ?? .undefined(name: "max")
      }
    }
  }

  /// Numbers or strings in order; strings without regard to case, as Jinja sorts.
  private mutating func sorted(_ items: [TemplateValue]) throws(ModelError) -> [TemplateValue] {
    try step(items.count * 4)
    if items.allSatisfy({ $0.number != nil }) {
      return items.sorted { ($0.number ?? 0) < ($1.number ?? 0) }
    }
    var keyed: [(String, TemplateValue)] = []
    for item in items {
      guard case .string(let text) = item else {
        throw error("only numbers or only strings can be sorted")
      }
      keyed.append((try made(text.lowercased()), item))
    }
    keyed.sort { $0.0.unicodeScalars.lexicographicallyPrecedes($1.0.unicodeScalars) }
    return keyed.map { $0.1 }
  }

  private mutating func selected(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateCall
  ) throws(ModelError) -> TemplateValue {
    var rest = arguments.positional[...]
    let attribute =
      name.hasSuffix("attr")
      ? try string(rest.popFirst(), "the attribute of '\(name)'") : nil
    let testName = try rest.popFirst().map { (value) throws(ModelError) in
      try string(value, "the test of '\(name)'")
    }
    var result: [TemplateValue] = []
    for item in try elements(of: value) {
      try step()
      let subject = if let attribute { try path(item, attribute) } else { item }
      let passes =
        if let testName { try test(testName, subject, Array(rest)) } else { subject.isTrue }
      if passes == name.hasPrefix("select") { result.append(item) }
    }
    return .list(result)
  }

  /// The value at a dotted path.
  private func path(_ value: TemplateValue, _ path: String) throws(ModelError) -> TemplateValue {
    var value = value
    for part in path.split(separator: ".") {
      if value.isUndefined { return value }
      value = try item(value, Int(part).map { .integer($0) } ?? .string(String(part)))
    }
    return value
  }

  // MARK: Tests

  mutating func test(
    _ name: String, _ value: TemplateValue, _ arguments: [TemplateValue]
  ) throws(ModelError) -> Bool {
    func argument() throws(ModelError) -> TemplateValue {
      guard let first = arguments.first else { throw error("the test '\(name)' needs a value") }
      return first
    }
    switch name {
    case "defined": return !value.isUndefined
    case "undefined": return value.isUndefined
    case "none": if case .none = value { return true } else { return false }
    case "string": if case .string = value { return true } else { return false }
    case "number": return value.number != nil
    case "boolean": if case .bool = value { return true } else { return false }
    case "integer": if case .integer = value { return true } else { return false }
    case "float": if case .float = value { return true } else { return false }
    case "true": if case .bool(true) = value { return true } else { return false }
    case "false": if case .bool(false) = value { return true } else { return false }
    case "mapping": if case .dictionary = value { return true } else { return false }
    case "callable": if case .function = value { return true } else { return false }
    case "iterable", "sequence":
      switch value {
      case .string, .list, .dictionary, .undefined: return true
      default: return false
      }
    case "even", "odd":
      guard let number = value.integer else { throw error("'\(name)' needs an integer") }
      return (number % 2 == 0) == (name == "even")
    case "divisibleby":
      guard let number = value.integer, let divisor = try argument().integer, divisor != 0 else {
        throw error("'divisibleby' needs integers")
      }
      return number % divisor == 0
    case "eq", "equalto", "==": return try compare("==", value, argument())
    case "ne", "!=": return try compare("!=", value, argument())
    case "lt", "lessthan", "<": return try compare("<", value, argument())
    case "le", "<=": return try compare("<=", value, argument())
    case "gt", "greaterthan", ">": return try compare(">", value, argument())
    case "ge", ">=": return try compare(">=", value, argument())
    case "in": return try contains(argument(), value)
    case "lower", "upper":
      let text = try text(of: value)
      return text.contains { $0.isLetter }
        && TemplateText.equal(text, name == "lower" ? text.lowercased() : text.uppercased())
    default: throw error("the test '\(name)' is not supported")
    }
  }
}
