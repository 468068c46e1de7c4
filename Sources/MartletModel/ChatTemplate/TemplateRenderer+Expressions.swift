extension TemplateRenderer {
  mutating func evaluate(_ expression: TemplateExpression) throws(ModelError) -> TemplateValue {
    try step()
    switch expression {
    case .at(let at, let inner):
      line = at
      return try evaluate(inner)
    case .literal(let value): return value
    case .name(let name): return lookUp(name)
    case .list(let items):
      var values: [TemplateValue] = []
      for item in items { values.append(try evaluate(item)) }
      try checkNesting(.list(values))
      return .list(values)
    case .dictionary(let entries):
      var dictionary = TemplateDictionary()
      for (key, value) in entries {
        let name = try evaluate(key)
        guard TemplateDictionary.key(name) != nil else {
          throw error("\(name.kindName) cannot be a key")
        }
        dictionary[name] = try evaluate(value)
      }
      try checkNesting(.dictionary(dictionary))
      return .dictionary(dictionary)
    case .attribute(let owner, let name): return try attribute(evaluate(owner), name)
    case .item(let owner, let key): return try item(evaluate(owner), evaluate(key))
    case .slice(let owner, let start, let stop, let by):
      return try slice(evaluate(owner), bound(start), bound(stop), bound(by) ?? 1)
    case .call(let function, let arguments):
      let callee = try evaluate(function)
      return try call(callee, try values(of: arguments))
    case .filter(let value, let name, let arguments):
      return try filter(name, evaluate(value), try values(of: arguments))
    case .test(let value, let name, let arguments, let negated):
      let result = try test(name, evaluate(value), try values(of: arguments).positional)
      return .bool(result != negated)
    case .negative(let value):
      switch try evaluate(value) {
      case .integer(let number) where number != .min: return .integer(-number)
      case .bool(let flag): return .integer(flag ? -1 : 0)
      case .float(let number): return .float(-number)
      case let other: throw error("\(other.kindName) has no negative")
      }
    case .not(let value): return .bool(!(try evaluate(value).isTrue))
    case .and(let left, let right):
      let value = try evaluate(left)
      return value.isTrue ? try evaluate(right) : value
    case .or(let left, let right):
      let value = try evaluate(left)
      return value.isTrue ? value : try evaluate(right)
    case .binary(let symbol, let left, let right):
      return try binary(symbol, evaluate(left), evaluate(right))
    case .comparison(let first, let rest):
      var left = try evaluate(first)
      for (symbol, expression) in rest {
        let right = try evaluate(expression)
        guard try compare(symbol, left, right) else { return false }
        left = right
      }
      return true
    case .conditional(let value, let condition, let otherwise):
      if try evaluate(condition).isTrue { return try evaluate(value) }
      guard let otherwise else { return .undefined(name: "the else of an inline if") }
      return try evaluate(otherwise)
    }
  }

  private mutating func values(of arguments: TemplateArguments) throws(ModelError) -> TemplateCall {
    var call = TemplateCall()
    for argument in arguments.positional { call.positional.append(try evaluate(argument)) }
    for (name, argument) in arguments.named { call.named.append((name, try evaluate(argument))) }
    return call
  }

  private mutating func bound(_ expression: TemplateExpression?) throws(ModelError) -> Int? {
    guard let expression else { return nil }
    let value = try evaluate(expression)
    if case .none = value { return nil }
    guard let number = value.integer else {
      throw error("a slice needs integers, not \(value.kindName)")
    }
    return number
  }

  // MARK: Parts of values

  func attribute(_ owner: TemplateValue, _ name: String) throws(ModelError) -> TemplateValue {
    switch owner {
    case .undefined: throw error("\(owner.kindName) has no '\(name)'")
    case .namespace(let space): return space.values[name] ?? .undefined(name: name)
    case .dictionary(let entries):
      if Self.dictionaryMethods.contains(name) {
        return .function(TemplateFunction(kind: .method(owner, name)))
      }
      return entries[.string(name)] ?? .undefined(name: name)
    case .string where Self.stringMethods.contains(name),
      .list where Self.listMethods.contains(name):
      return .function(TemplateFunction(kind: .method(owner, name)))
    default: return .undefined(name: name)
    }
  }

  func item(_ owner: TemplateValue, _ key: TemplateValue) throws(ModelError) -> TemplateValue {
    switch (owner, key) {
    case (.undefined, _): throw error("\(owner.kindName) has no items")
    case (.dictionary(let entries), _):
      if let value = entries[key] { return value }
      if case .string(let name) = key { return .undefined(name: name) }
      return .undefined(name: "item")
    case (.namespace(let space), .string(let name)):
      return space.values[name] ?? .undefined(name: name)
    case (.list(let items), _):
      guard let index = key.integer else { return .undefined(name: "item") }
      let place = index < 0 ? index + items.count : index
      return items.indices.contains(place) ? items[place] : .undefined(name: "item \(index)")
    case (.string(let text), _):
      guard let index = key.integer else { return .undefined(name: "item") }
      let scalars = text.unicodeScalars
      let distance = index < 0 ? -(index + 1) : index
      guard distance < text.utf8.count else { return .undefined(name: "item \(index)") }
      let found =
        index < 0
        ? scalars.reversed().dropFirst(distance).first : scalars.dropFirst(distance).first
      return found.map { .string(String($0)) } ?? .undefined(name: "item \(index)")
    default: return .undefined(name: "item")
    }
  }

  private mutating func slice(
    _ owner: TemplateValue, _ start: Int?, _ stop: Int?, _ by: Int
  ) throws(ModelError) -> TemplateValue {
    guard by != 0, by.magnitude < 1 << 40 else { throw error("a slice's step cannot be \(by)") }
    func pick<T>(_ items: [T]) -> [T] {
      func clamp(_ value: Int, _ low: Int, _ high: Int) -> Int {
        min(max(value < 0 ? value + items.count : value, low), high)
      }
      var result: [T] = []
      if by > 0 {
        var index = clamp(start ?? 0, 0, items.count)
        let end = clamp(stop ?? items.count, 0, items.count)
        while index < end {
          result.append(items[index])
          index += by
        }
      } else {
        var index = start.map { clamp($0, -1, items.count - 1) } ?? items.count - 1
        let end = stop.map { clamp($0, -1, items.count - 1) } ?? -1
        while index > end {
          result.append(items[index])
          index += by
        }
      }
      return result
    }
    switch owner {
    case .list(let items):
      try step(items.count / 16)
      return .list(pick(items))
    case .string(let text):
      return .string(try made(TemplateText.string(pick(Array(text.unicodeScalars)))))
    case .undefined: throw error("\(owner.kindName) has no items")
    default: throw error("\(owner.kindName) cannot be sliced")
    }
  }

  // MARK: Operators

  private mutating func binary(
    _ symbol: String, _ left: TemplateValue, _ right: TemplateValue
  ) throws(ModelError) -> TemplateValue {
    if symbol == "~" {
      return .string(try made(try text(of: left) + text(of: right)))
    }
    switch (symbol, left, right) {
    case ("+", .string(let a), .string(let b)):
      try willMake(a.utf8.count + b.utf8.count)
      return .string(a + b)
    case ("+", .list(let a), .list(let b)):
      guard a.count + b.count <= Self.listLimit else {
        throw error("a list grows beyond \(Self.listLimit)")
      }
      try step((a.count + b.count) / 16)
      return .list(a + b)
    case ("*", .string(let text), .integer(let count)),
      ("*", .integer(let count), .string(let text)):
      let times = max(0, count)
      let (size, overflow) = text.utf8.count.multipliedReportingOverflow(by: times)
      try willMake(overflow ? .max : size)
      return .string(text.isEmpty ? "" : String(repeating: text, count: times))
    case ("%", .string, _): throw error("string formatting with % is not supported")
    default: break
    }
    if let a = left.integer, let b = right.integer { return try integers(symbol, a, b) }
    guard let a = left.number, let b = right.number else {
      throw error("'\(symbol)' does not apply to \(left.kindName) and \(right.kindName)")
    }
    switch symbol {
    case "+": return .float(a + b)
    case "-": return .float(a - b)
    case "*": return .float(a * b)
    case "/" where b != 0: return .float(a / b)
    case "//" where b != 0: return .float((a / b).rounded(.down))
    case "%" where b != 0: return .float(a - b * (a / b).rounded(.down))
    default: throw error("'\(symbol)' cannot be computed for \(a) and \(b)")
    }
  }

  private func integers(
    _ symbol: String, _ a: Int, _ b: Int
  ) throws(ModelError) -> TemplateValue {
    let result: (partialValue: Int, overflow: Bool)
    switch symbol {
    case "+": result = a.addingReportingOverflow(b)
    case "-": result = a.subtractingReportingOverflow(b)
    case "*": result = a.multipliedReportingOverflow(by: b)
    case "/" where b != 0: return .float(Double(a) / Double(b))
    case "//" where b != 0 && b != -1:
      let quotient = a / b
      return .integer((a % b != 0) && ((a < 0) != (b < 0)) ? quotient - 1 : quotient)
    case "//" where b == -1: result = (0 as Int).subtractingReportingOverflow(a)
    case "%" where b == -1: return 0
    case "%" where b != 0:
      let rest = a % b
      return .integer(rest != 0 && ((rest < 0) != (b < 0)) ? rest + b : rest)
    case "**" where b >= 0:
      var power = (partialValue: 1, overflow: false)
      for _ in 0..<min(b, 64) where !power.overflow {
        power = power.partialValue.multipliedReportingOverflow(by: a)
      }
      result = b > 64 && a.magnitude > 1 ? (0, true) : power
      if b > 64, a == -1 { return .integer(b % 2 == 0 ? 1 : -1) }
    default: throw error("'\(symbol)' cannot be computed for \(a) and \(b)")
    }
    guard !result.overflow else { throw error("\(a) \(symbol) \(b) is too large") }
    return .integer(result.partialValue)
  }

  mutating func compare(
    _ symbol: String, _ left: TemplateValue, _ right: TemplateValue
  ) throws(ModelError) -> Bool {
    switch symbol {
    case "==": return try equal(left, right)
    case "!=": return !(try equal(left, right))
    case "in": return try contains(right, left)
    case "not in": return !(try contains(right, left))
    default: break
    }
    let order: (less: Bool, equal: Bool)
    switch (left, right) {
    case (.string(let a), .string(let b)):
      order = (
        a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars), TemplateText.equal(a, b)
      )
    default:
      guard let a = left.number, let b = right.number else {
        throw error("'\(symbol)' does not apply to \(left.kindName) and \(right.kindName)")
      }
      order = (a < b, a == b)
    }
    switch symbol {
    case "<": return order.less
    case "<=": return order.less || order.equal
    case ">": return !order.less && !order.equal
    default: return !order.less
    }
  }

  mutating func equal(
    _ left: TemplateValue, _ right: TemplateValue
  ) throws(ModelError) -> Bool {
    try step()
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let a), .string(let b)): return TemplateText.equal(a, b)
    case (.list(let a), .list(let b)):
      guard a.count == b.count else { return false }
      for (x, y) in zip(a, b) {
        guard try equal(x, y) else { return false }
      }
      return true
    case (.dictionary(let a), .dictionary(let b)):
      guard a.count == b.count else { return false }
      for (key, value) in zip(a.keys, a.values) {
        guard let other = b[key], try equal(value, other) else { return false }
      }
      return true
    case (.namespace(let a), .namespace(let b)): return a === b
    default:
      guard let a = left.number, let b = right.number else { return false }
      return a == b
    }
  }

  mutating func contains(
    _ container: TemplateValue, _ value: TemplateValue
  ) throws(ModelError) -> Bool {
    switch (container, value) {
    case (.string(let text), .string(let part)):
      try step(text.utf8.count / 64)
      return TemplateText.contains(text, part)
    case (.list(let items), _):
      for item in items {
        if try equal(item, value) { return true }
      }
      return false
    case (.dictionary(let entries), _): return entries[value] != nil
    case (.undefined, _): return false
    default:
      throw error("\(value.kindName) cannot be looked for in \(container.kindName)")
    }
  }
}
