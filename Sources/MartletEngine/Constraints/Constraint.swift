/// What a text may be: a regular expression, or JSON by a schema. It does not belong to a tokenizer
/// and may be used with any, by any number of runs.
///
/// Compiled to minimal automata over bytes in which every state can reach an end, so that no text
/// that is allowed so far is a dead end. See `docs/constraints.md` for what is understood.
public final class Constraint: Sendable, CustomStringConvertible {
  /// What it was made from, for messages: `the regular expression '…'`, `the JSON schema`.
  public let name: String
  let grammar: ByteGrammar

  public var description: String { name }

  /// How many states the automata have.
  public var stateCount: Int { grammar.stateCount }

  init(name: String, grammar: ByteGrammar) {
    self.name = name
    self.grammar = grammar
  }

  /// Texts that match a regular expression from beginning to end.
  ///
  /// Throws `argument` for what is not supported, with its column, and for an expression that needs
  /// more states than the limit, with both numbers.
  public static func regex(_ pattern: String) throws(EngineError) -> Constraint {
    let shown = pattern.count > 60 ? pattern.prefix(60) + "…" : pattern[...]
    let name = "the regular expression '\(shown)'"
    let syntax = try RegexParser.parse(pattern, what: name)
    var graph = PatternGraph()
    let body = try syntax.compile(&graph, .plain)
    return Constraint(name: name, grammar: try ByteGrammar(graph, rules: [(name, body)], root: 0))
  }

  /// JSON texts that are valid by a schema.
  ///
  /// Throws `argument` for a text that is not JSON, with line and column, and for a keyword that is
  /// not supported or values that contradict each other, with the place in the schema.
  public static func jsonSchema(
    _ schema: String, whitespace: JSONWhitespace = .flexible
  ) throws(EngineError) -> Constraint {
    var compiler = SchemaCompiler(try JSONText.parse(schema), whitespace: whitespace)
    return Constraint(name: "the JSON schema", grammar: try compiler.grammar())
  }

  /// Whether a text can be continued, or ended, so that it is allowed.
  public func allows(prefix: some Sequence<UInt8>) -> Bool {
    var matcher = ByteMatcher(grammar)
    return matcher.step(matcher.start, prefix) != ByteMatcher.dead
  }

  /// Whether a text is allowed. For checks; a run uses ``TokenConstraint``.
  public func accepts(_ text: some Sequence<UInt8>) -> Bool {
    var matcher = ByteMatcher(grammar)
    let place = matcher.step(matcher.start, text)
    return place != ByteMatcher.dead && matcher.accepts(place)
  }
}

/// The white space between the parts of a JSON text.
public enum JSONWhitespace: Sendable, CaseIterable {
  /// At most one space, or one line break with up to 32 spaces or tabs: what models write by habit,
  /// and never without end.
  case flexible
  /// None. More of the text is forced, so more forward passes are saved.
  case compact
}
