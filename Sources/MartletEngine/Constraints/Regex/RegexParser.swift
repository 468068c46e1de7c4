/// Reads a regular expression: alternatives, groups, classes, quantifiers, and the escapes that name
/// sets or characters. What has no meaning for a regular language (backreferences, lookaround, word
/// boundaries) or changes it silently (flags, possessive quantifiers) is an error with its column.
struct RegexParser {
  /// What the expression must match.
  enum Extent {
    /// The whole text; `^` and `$` at the ends change nothing.
    case whole
    /// Some part of the text, as `pattern` of JSON Schema; `^` and `$` bind an end.
    case part
  }

  let extent: Extent
  let what: String
  let scalars: [Unicode.Scalar]
  var at = 0

  /// The most groups inside groups.
  private static let depthLimit = 250
  /// The largest count in braces.
  private static let countLimit = 1_000_000

  /// - Parameter what: names the expression in messages.
  static func parse(
    _ text: String, extent: Extent = .whole, what: String
  ) throws(EngineError) -> RegexSyntax {
    var parser = RegexParser(extent: extent, what: what, scalars: Array(text.unicodeScalars))
    let syntax = try parser.alternatives(depth: 0)
    guard parser.at == parser.scalars.count else {
      throw parser.failure("')' closes no group; write \\) for the character")
    }
    guard syntax.size <= PatternGraph.nodeLimit else {
      let size = syntax.size == .max ? "more than can be counted" : "about \(syntax.size)"
      throw EngineError(
        .argument,
        "\(what) needs \(size) nodes, the limit is \(PatternGraph.nodeLimit); use smaller counts")
    }
    return syntax
  }

  func failure(_ problem: String, at place: Int? = nil) -> EngineError {
    EngineError(.argument, "\(what), column \((place ?? at) + 1): \(problem)")
  }

  var next: Unicode.Scalar? { at < scalars.count ? scalars[at] : nil }

  mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    at += 1
    return true
  }

  // MARK: Structure

  private mutating func alternatives(depth: Int) throws(EngineError) -> RegexSyntax {
    var parts = [try alternative(depth)]
    while take("|") { parts.append(try alternative(depth)) }
    return parts.count == 1 ? parts[0] : .alternation(parts)
  }

  private mutating func alternative(_ depth: Int) throws(EngineError) -> RegexSyntax {
    var parts: [RegexSyntax] = []
    var isOpenAtStart = depth == 0 && extent == .part
    var isOpenAtEnd = isOpenAtStart
    if depth == 0, take("^") { isOpenAtStart = false }
    while let scalar = next, scalar != "|", scalar != ")" {
      if scalar == "$", depth == 0, at + 1 == scalars.count || scalars[at + 1] == "|" {
        at += 1
        isOpenAtEnd = false
        break
      }
      parts.append(try quantified(try atom(depth)))
    }
    let anything = RegexSyntax.repetition(.scalar(.all), least: 0, most: nil)
    if isOpenAtStart { parts.insert(anything, at: 0) }
    if isOpenAtEnd { parts.append(anything) }
    return parts.isEmpty ? .empty : parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func atom(_ depth: Int) throws(EngineError) -> RegexSyntax {
    let scalar = scalars[at]
    switch scalar {
    case "(": return try group(depth)
    case "[": return .scalar(try characterClass())
    case ".":
      at += 1
      return .scalar(RegexSets.lineEnds.complement)
    case "\\": return .scalar(try escape(inClass: false))
    case "^", "$":
      throw failure(
        "'\(scalar)' binds an end of the text and stands only at the ends of the expression or its "
          + "alternatives, outside groups; write \\\(scalar) for the character")
    case "*", "+", "?":
      throw failure("'\(scalar)' repeats nothing; write \\\(scalar) for the character")
    case "{":
      throw failure("'{' repeats nothing; write \\{ for the character")
    default:
      at += 1
      return .scalar(ScalarSet(scalar))
    }
  }

  private mutating func group(_ depth: Int) throws(EngineError) -> RegexSyntax {
    let open = at
    guard depth < Self.depthLimit else {
      throw failure("groups stand more than \(Self.depthLimit) deep, the limit")
    }
    at += 1
    if take("?") { try groupKind(open) }
    let inner = try alternatives(depth: depth + 1)
    guard take(")") else { throw failure("this group has no ')'", at: open) }
    return inner
  }

  /// What follows `(?`.
  private mutating func groupKind(_ open: Int) throws(EngineError) {
    if take(":") { return }
    let isNamed = take("P")
    if take("<"), next != "=", next != "!" {
      while let scalar = next, scalar != ">" {
        guard RegexSets.words.contains(scalar) else {
          throw failure("'\(scalar)' cannot stand in a group's name")
        }
        at += 1
      }
      guard take(">") else { throw failure("this group's name has no '>'", at: open) }
      return
    }
    guard !isNamed, let kind = next else { throw failure("unknown kind of group", at: open) }
    switch kind {
    case "=", "!":
      throw failure("lookaround is not supported: it is not part of a regular language", at: open)
    default:
      throw failure(
        "'(?\(kind)' is not supported; groups are (…), (?:…) and (?<name>…)", at: open)
    }
  }

  // MARK: Quantifiers

  private mutating func quantified(_ atom: RegexSyntax) throws(EngineError) -> RegexSyntax {
    let place = at
    var result = atom
    if take("*") {
      result = .repetition(atom, least: 0, most: nil)
    } else if take("+") {
      result = .repetition(atom, least: 1, most: nil)
    } else if take("?") {
      result = .repetition(atom, least: 0, most: 1)
    } else if take("{") {
      result = try counted(atom, place)
    } else {
      return atom
    }
    // Lazy or greedy, the same texts match.
    _ = take("?")
    switch next {
    case "+":
      throw failure("a possessive quantifier is not supported; leave out the second '+'")
    case "*", "?", "{":
      throw failure("a quantifier follows another; put the first into a group")
    default: return result
    }
  }

  private mutating func counted(
    _ atom: RegexSyntax, _ open: Int
  ) throws(EngineError) -> RegexSyntax {
    let help = "write {m}, {m,} or {m,n}, or \\{ for the character"
    guard let least = try count(open) else {
      throw failure("'{' begins no count; \(help)", at: open)
    }
    var most: Int? = least
    if take(",") { most = next == "}" ? nil : try count(open) }
    guard take("}") else { throw failure("'{' begins no count; \(help)", at: open) }
    if let most, most < least {
      throw failure("the count {\(least),\(most)} has its larger number first", at: open)
    }
    return .repetition(atom, least: least, most: most)
  }

  private mutating func count(_ open: Int) throws(EngineError) -> Int? {
    var value: Int?
    while let digit = next, RegexSets.digits.contains(digit) {
      value = (value ?? 0) * 10 + Int(digit.value - 0x30)
      guard value! <= Self.countLimit else {
        throw failure("a count is above \(Self.countLimit), the limit", at: open)
      }
      at += 1
    }
    return value
  }
}
