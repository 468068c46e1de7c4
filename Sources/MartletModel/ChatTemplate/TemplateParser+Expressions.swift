extension TemplateParser {
  /// Expressions separated by commas are a list.
  mutating func parseTuple(conditional: Bool = true) throws(ModelError) -> TemplateExpression {
    let first = conditional ? try parseExpression() : try parseOr()
    guard isSymbol(",") else { return first }
    var items = [first]
    while take(symbol: ",") {
      if isSymbol(")") || current == .outputEnd || current == .blockEnd { break }
      items.append(conditional ? try parseExpression() : try parseOr())
    }
    return .list(items)
  }

  mutating func parseExpression() throws(ModelError) -> TemplateExpression {
    try enter()
    defer { depth -= 1 }
    let line = line
    let outer = depth
    defer { depth = outer }
    var value = try parseOr()
    while take(name: "if") {
      try enter()
      let condition = try parseOr()
      let otherwise = take(name: "else") ? try parseExpression() : nil
      value = .conditional(value, condition: condition, otherwise: otherwise)
    }
    return .at(line: line, value)
  }

  private mutating func parseOr() throws(ModelError) -> TemplateExpression {
    let outer = depth
    defer { depth = outer }
    var left = try parseAnd()
    while take(name: "or") {
      try enter()
      left = .or(left, try parseAnd())
    }
    return left
  }

  private mutating func parseAnd() throws(ModelError) -> TemplateExpression {
    let outer = depth
    defer { depth = outer }
    var left = try parseNot()
    while take(name: "and") {
      try enter()
      left = .and(left, try parseNot())
    }
    return left
  }

  private mutating func parseNot() throws(ModelError) -> TemplateExpression {
    guard take(name: "not") else { return try parseComparison() }
    try enter()
    defer { depth -= 1 }
    return .not(try parseNot())
  }

  private mutating func parseComparison() throws(ModelError) -> TemplateExpression {
    let first = try parseSum()
    var rest: [(String, TemplateExpression)] = []
    while true {
      if case .symbol(let symbol) = current,
        ["==", "!=", "<", ">", "<=", ">="].contains(symbol)
      {
        advance()
        rest.append((symbol, try parseSum()))
      } else if take(name: "in") {
        rest.append(("in", try parseSum()))
      } else if isName("not") {
        advance()
        guard take(name: "in") else { throw unexpected("'in'") }
        rest.append(("not in", try parseSum()))
      } else {
        return rest.isEmpty ? first : .comparison(first, rest)
      }
    }
  }

  private mutating func parseSum() throws(ModelError) -> TemplateExpression {
    let outer = depth
    defer { depth = outer }
    var left = try parseConcatenation()
    while isSymbol("+") || isSymbol("-") {
      try enter()
      let symbol = isSymbol("+") ? "+" : "-"
      advance()
      left = .binary(symbol, left, try parseConcatenation())
    }
    return left
  }

  private mutating func parseConcatenation() throws(ModelError) -> TemplateExpression {
    let outer = depth
    defer { depth = outer }
    var left = try parseProduct()
    while take(symbol: "~") {
      try enter()
      left = .binary("~", left, try parseProduct())
    }
    return left
  }

  private mutating func parseProduct() throws(ModelError) -> TemplateExpression {
    let outer = depth
    defer { depth = outer }
    var left = try parsePower()
    while case .symbol(let symbol) = current, ["*", "/", "//", "%"].contains(symbol) {
      try enter()
      advance()
      left = .binary(symbol, left, try parsePower())
    }
    return left
  }

  private mutating func parsePower() throws(ModelError) -> TemplateExpression {
    let outer = depth
    defer { depth = outer }
    var left = try parseUnary(filters: true)
    while take(symbol: "**") {
      try enter()
      left = .binary("**", left, try parseUnary(filters: true))
    }
    return left
  }

  private mutating func parseUnary(filters: Bool) throws(ModelError) -> TemplateExpression {
    try enter()
    defer { depth -= 1 }
    var value: TemplateExpression
    if take(symbol: "-") {
      value = .negative(try parseUnary(filters: false))
    } else if take(symbol: "+") {
      value = try parseUnary(filters: false)
    } else {
      value = try parsePrimary()
    }
    value = try parsePostfix(value)
    return filters ? try parseFilters(value) : value
  }

  private mutating func parsePrimary() throws(ModelError) -> TemplateExpression {
    switch current {
    case .name(let name):
      advance()
      switch name {
      case "true", "True": return .literal(.bool(true))
      case "false", "False": return .literal(.bool(false))
      case "none", "None": return .literal(.none)
      default: return .name(name)
      }
    case .string(let text):
      var joined = text
      advance()
      while case .string(let more) = current {
        joined += more
        advance()
      }
      return .literal(.string(joined))
    case .integer(let value):
      advance()
      return .literal(.integer(value))
    case .float(let value):
      advance()
      return .literal(.float(value))
    case .symbol("("):
      advance()
      if take(symbol: ")") { return .list([]) }
      let value = try parseTuple()
      try expect(symbol: ")")
      return value
    case .symbol("["):
      advance()
      var items: [TemplateExpression] = []
      while !isSymbol("]") {
        if !items.isEmpty { try expect(symbol: ",") }
        if isSymbol("]") { break }
        items.append(try parseExpression())
      }
      try expect(symbol: "]")
      return .list(items)
    case .symbol("{"):
      advance()
      var entries: [(TemplateExpression, TemplateExpression)] = []
      while !isSymbol("}") {
        if !entries.isEmpty { try expect(symbol: ",") }
        if isSymbol("}") { break }
        let key = try parseExpression()
        try expect(symbol: ":")
        entries.append((key, try parseExpression()))
      }
      try expect(symbol: "}")
      return .dictionary(entries)
    default: throw unexpected("a value")
    }
  }

  private mutating func parsePostfix(
    _ start: TemplateExpression
  ) throws(ModelError) -> TemplateExpression {
    var value = start
    // Every link of a chain is one level of the tree, so links count as nesting.
    let outer = depth
    defer { depth = outer }
    while true {
      try enter()
      if take(symbol: ".") {
        if case .integer(let index) = current {
          advance()
          value = .item(value, .literal(.integer(index)))
        } else {
          value = .attribute(value, try expectName())
        }
      } else if take(symbol: "[") {
        value = try parseSubscript(value)
      } else if isSymbol("(") {
        value = .call(value, try parseArguments())
      } else {
        return value
      }
    }
  }

  private mutating func parseSubscript(
    _ owner: TemplateExpression
  ) throws(ModelError) -> TemplateExpression {
    var parts: [TemplateExpression?] = []
    var part: TemplateExpression?
    var colons = 0
    while !isSymbol("]") {
      if take(symbol: ":") {
        parts.append(part)
        part = nil
        colons += 1
      } else {
        part = try parseExpression()
      }
    }
    try expect(symbol: "]")
    if colons == 0 {
      guard let part else { throw unexpected("an index") }
      return .item(owner, part)
    }
    guard colons <= 2 else { throw unexpected("']'") }
    parts.append(part)
    return .slice(owner, parts[0], parts[1], parts.count > 2 ? parts[2] : nil)
  }

  mutating func parseArguments() throws(ModelError) -> TemplateArguments {
    var arguments = TemplateArguments()
    try expect(symbol: "(")
    var isFirst = true
    while !isSymbol(")") {
      if !isFirst { try expect(symbol: ",") }
      if isSymbol(")") { break }
      isFirst = false
      if isSymbol("*") || isSymbol("**") {
        throw TemplateText.error("'*' arguments are not supported", line: line)
      }
      if case .name(let name) = current, isSymbolNext("=") {
        advance()
        advance()
        arguments.named.append((name, try parseExpression()))
      } else {
        arguments.positional.append(try parseExpression())
      }
    }
    try expect(symbol: ")")
    return arguments
  }

  private mutating func parseFilters(
    _ start: TemplateExpression
  ) throws(ModelError) -> TemplateExpression {
    var value = start
    let outer = depth
    defer { depth = outer }
    while true {
      try enter()
      if take(symbol: "|") {
        let name = try expectName()
        value = .filter(
          value, name, isSymbol("(") ? try parseArguments() : TemplateArguments())
      } else if take(name: "is") {
        value = try parseTest(value)
      } else if isSymbol("(") {
        value = .call(value, try parseArguments())
      } else {
        return value
      }
    }
  }

  private mutating func parseTest(
    _ value: TemplateExpression
  ) throws(ModelError) -> TemplateExpression {
    let negated = take(name: "not")
    let name = try expectName()
    var arguments = TemplateArguments()
    switch current {
    case .symbol("("): arguments = try parseArguments()
    case .name(let word) where !["else", "or", "and", "is", "if", "in", "not"].contains(word):
      arguments.positional = [try parsePostfix(parsePrimary())]
    case .string, .integer, .float, .symbol("["), .symbol("{"):
      arguments.positional = [try parsePostfix(parsePrimary())]
    default: break
    }
    return .test(value, name, arguments, negated: negated)
  }
}
