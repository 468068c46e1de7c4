/// Builds statements from tokens.
struct TemplateParser {
  private var tokens: [TemplateToken]
  private var position = 0
  /// How deep statements and expressions are nested now.
  var depth = 0
  private var loops = 0

  static let depthLimit = 200

  static func parse(_ template: String) throws(ModelError) -> [TemplateNode] {
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: template))
    let nodes = try parser.parseNodes(until: [])
    return nodes
  }

  private init(tokens: [TemplateToken]) { self.tokens = tokens }

  // MARK: Tokens

  var current: TemplateToken.Kind { tokens[position].kind }
  var line: Int { tokens[position].line }

  mutating func advance() {
    if position + 1 < tokens.count { position += 1 }
  }

  func isSymbol(_ symbol: String) -> Bool { current == .symbol(symbol) }
  func isName(_ name: String) -> Bool { current == .name(name) }

  func isSymbolNext(_ symbol: String) -> Bool {
    position + 1 < tokens.count && tokens[position + 1].kind == .symbol(symbol)
  }

  mutating func take(symbol: String) -> Bool {
    guard isSymbol(symbol) else { return false }
    advance()
    return true
  }

  mutating func take(name: String) -> Bool {
    guard isName(name) else { return false }
    advance()
    return true
  }

  mutating func expect(symbol: String) throws(ModelError) {
    guard take(symbol: symbol) else { throw unexpected("'\(symbol)'") }
  }

  mutating func expectName() throws(ModelError) -> String {
    guard case .name(let name) = current else { throw unexpected("a name") }
    advance()
    return name
  }

  func unexpected(_ wanted: String) -> ModelError {
    let found: String
    switch current {
    case .text: found = "text"
    case .outputBegin: found = "'{{'"
    case .outputEnd: found = "'}}'"
    case .blockBegin: found = "'{%'"
    case .blockEnd: found = "'%}'"
    case .name(let name): found = "'\(name)'"
    case .string(let string): found = "the string '\(string.prefix(20))'"
    case .integer(let value): found = "\(value)"
    case .float(let value): found = "\(value)"
    case .symbol(let symbol): found = "'\(symbol)'"
    case .end: found = "the end of the template"
    }
    return TemplateText.error("\(wanted) is expected and \(found) found", line: line)
  }

  mutating func enter() throws(ModelError) {
    depth += 1
    if depth > Self.depthLimit {
      throw TemplateText.error("nesting is deeper than \(Self.depthLimit)", line: line)
    }
  }

  // MARK: Statements

  private mutating func parseNodes(until ends: [String]) throws(ModelError) -> [TemplateNode] {
    try enter()
    defer { depth -= 1 }
    var nodes: [TemplateNode] = []
    while true {
      switch current {
      case .end:
        guard ends.isEmpty else { throw unexpected("'\(ends.joined(separator: "' or '"))'") }
        return nodes
      case .text(let text):
        nodes.append(.text(text))
        advance()
      case .outputBegin:
        let line = line
        advance()
        let value = try parseTuple()
        guard current == .outputEnd else { throw unexpected("'}}'") }
        advance()
        nodes.append(.output(value, line: line))
      case .blockBegin:
        advance()
        guard case .name(let name) = current else { throw unexpected("a statement") }
        if ends.contains(name) { return nodes }
        let line = line
        advance()
        if let node = try parseStatement(name, line: line) { nodes.append(contentsOf: node) }
      default: throw unexpected("text or a tag")
      }
    }
  }

  private mutating func endBlock() throws(ModelError) {
    guard current == .blockEnd else { throw unexpected("'%}'") }
    advance()
  }

  private mutating func parseStatement(
    _ name: String, line: Int
  ) throws(ModelError) -> [TemplateNode]? {
    switch name {
    case "if": return [try parseChoice(line)]
    case "for": return [try parseLoop(line)]
    case "set": return [try parseAssignment(line)]
    case "macro": return [try parseMacro(line)]
    case "generation":
      try endBlock()
      let body = try parseNodes(until: ["endgeneration"])
      advance()
      try endBlock()
      return body
    case "break", "continue":
      guard loops > 0 else {
        throw TemplateText.error("'\(name)' stands outside a loop", line: line)
      }
      try endBlock()
      return [name == "break" ? .breakLoop : .continueLoop]
    default:
      throw TemplateText.error(
        "the statement '\(name)' is not supported (if, for, set, macro, break, continue, raw and "
          + "generation are)", line: line)
    }
  }

  private mutating func parseChoice(_ line: Int) throws(ModelError) -> TemplateNode {
    var branches: [(TemplateExpression, [TemplateNode])] = []
    var condition = try parseTuple()
    while true {
      try endBlock()
      branches.append((condition, try parseNodes(until: ["elif", "else", "endif"])))
      let end = try expectName()
      if end == "elif" {
        condition = try parseTuple()
        continue
      }
      var otherwise: [TemplateNode] = []
      if end == "else" {
        try endBlock()
        otherwise = try parseNodes(until: ["endif"])
        advance()
      }
      try endBlock()
      return .choice(branches, otherwise: otherwise, line: line)
    }
  }

  private mutating func parseNames() throws(ModelError) -> [String] {
    let parenthesised = take(symbol: "(")
    var names = [try expectName()]
    while take(symbol: ",") { names.append(try expectName()) }
    if parenthesised { try expect(symbol: ")") }
    return names
  }

  private mutating func parseLoop(_ line: Int) throws(ModelError) -> TemplateNode {
    let names = try parseNames()
    guard take(name: "in") else { throw unexpected("'in'") }
    let items = try parseTuple(conditional: false)
    let condition = take(name: "if") ? try parseExpression() : nil
    if isName("recursive") {
      throw TemplateText.error("a recursive 'for' is not supported", line: line)
    }
    try endBlock()
    loops += 1
    let body = try parseNodes(until: ["else", "endfor"])
    loops -= 1
    var otherwise: [TemplateNode] = []
    if try expectName() == "else" {
      try endBlock()
      otherwise = try parseNodes(until: ["endfor"])
      advance()
    }
    try endBlock()
    return .loop(
      TemplateLoop(
        names: names, items: items, condition: condition, body: body, otherwise: otherwise,
        line: line))
  }

  private mutating func parseAssignment(_ line: Int) throws(ModelError) -> TemplateNode {
    let target: TemplateTarget
    if case .name(let owner) = current, isSymbolNext(".") {
      advance()
      advance()
      target = .attribute(owner, try expectName())
    } else {
      target = .names(try parseNames())
    }
    if take(symbol: "=") {
      let value = try parseTuple()
      try endBlock()
      return .assign(target, value, line: line)
    }
    guard current == .blockEnd else { throw unexpected("'=' or '%}'") }
    advance()
    let body = try parseNodes(until: ["endset"])
    advance()
    try endBlock()
    return .assignBlock(target, body, line: line)
  }

  private mutating func parseMacro(_ line: Int) throws(ModelError) -> TemplateNode {
    let name = try expectName()
    try expect(symbol: "(")
    var parameters: [(name: String, fallback: TemplateExpression?)] = []
    while !isSymbol(")") {
      if !parameters.isEmpty { try expect(symbol: ",") }
      let parameter = try expectName()
      parameters.append((parameter, take(symbol: "=") ? try parseExpression() : nil))
    }
    try expect(symbol: ")")
    try endBlock()
    let outer = loops
    loops = 0
    let body = try parseNodes(until: ["endmacro"])
    loops = outer
    advance()
    try endBlock()
    return .macro(
      TemplateMacro(name: name, parameters: parameters, body: body, line: line))
  }
}
