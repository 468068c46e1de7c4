/// An expression of a template.
indirect enum TemplateExpression: Sendable {
  case literal(TemplateValue)
  case name(String)
  case list([TemplateExpression])
  case dictionary([(TemplateExpression, TemplateExpression)])
  case attribute(TemplateExpression, String)
  case item(TemplateExpression, TemplateExpression)
  case slice(TemplateExpression, TemplateExpression?, TemplateExpression?, TemplateExpression?)
  case call(TemplateExpression, TemplateArguments)
  case filter(TemplateExpression, String, TemplateArguments)
  case test(TemplateExpression, String, TemplateArguments, negated: Bool)
  case negative(TemplateExpression)
  case not(TemplateExpression)
  case and(TemplateExpression, TemplateExpression)
  case or(TemplateExpression, TemplateExpression)
  case binary(String, TemplateExpression, TemplateExpression)
  case comparison(TemplateExpression, [(String, TemplateExpression)])
  case conditional(
    TemplateExpression, condition: TemplateExpression, otherwise: TemplateExpression?)
  /// An expression that starts a line of its own, for messages.
  case at(line: Int, TemplateExpression)
}

/// What stands between the parentheses of a call.
struct TemplateArguments: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(String, TemplateExpression)] = []
}

/// A statement of a template.
indirect enum TemplateNode: Sendable {
  case text(String)
  case output(TemplateExpression, line: Int)
  case choice([(TemplateExpression, [TemplateNode])], otherwise: [TemplateNode], line: Int)
  case loop(TemplateLoop)
  case assign(TemplateTarget, TemplateExpression, line: Int)
  case assignBlock(TemplateTarget, [TemplateNode], line: Int)
  case macro(TemplateMacro)
  case breakLoop
  case continueLoop
}

/// What `set` assigns to.
enum TemplateTarget: Sendable {
  case names([String])
  case attribute(String, String)
}

/// `{% for names in items if condition %}body{% else %}otherwise{% endfor %}`
struct TemplateLoop: Sendable {
  var names: [String]
  var items: TemplateExpression
  var condition: TemplateExpression?
  var body: [TemplateNode]
  var otherwise: [TemplateNode]
  var line: Int
}

/// `{% macro name(parameters) %}body{% endmacro %}`
final class TemplateMacro: Sendable {
  let name: String
  let parameters: [(name: String, fallback: TemplateExpression?)]
  let body: [TemplateNode]
  let line: Int

  init(
    name: String, parameters: [(name: String, fallback: TemplateExpression?)],
    body: [TemplateNode], line: Int
  ) {
    self.name = name
    self.parameters = parameters
    self.body = body
    self.line = line
  }
}
