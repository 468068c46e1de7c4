import Foundation

/// One message of a conversation.
public struct ChatMessage: Sendable {
  /// Who speaks: "system", "user", "assistant", or what else the template knows.
  public var role: String
  /// What is said.
  public var content: String
  /// More that a template may look at, such as `tool_calls`.
  public var additional: [String: TemplateValue]

  /// A message.
  public init(role: String, content: String, additional: [String: TemplateValue] = [:]) {
    self.role = role
    self.content = content
    self.additional = additional
  }
}

/// Turns a conversation into the text a model was trained to continue.
///
/// Model files carry their chat format as a Jinja template. This renders the part of Jinja that
/// such templates use, as Jinja2 does with `trim_blocks` and `lstrip_blocks`: if, for, set, macro,
/// break, continue, raw, the operators, `namespace`, `range`, `raise_exception`, `strftime_now`,
/// and the common filters, tests and methods. Anything else is an error that names it and the line.
///
/// Templates come with model files and are not trusted: a rendering takes a bounded number of steps
/// and makes a bounded amount of text, and reaches nothing but the values it is given.
public struct ChatTemplate: Sendable {
  /// The template's text.
  public let source: String
  private let nodes: [TemplateNode]

  /// Parses a template. Throws `template`, with the line, for what it cannot render.
  public init(source: String) throws(ModelError) {
    guard source.utf8.count <= 4 << 20 else {
      throw ModelError(
        .template, "The chat template has \(source.utf8.count) bytes; at most 4 MB are read.")
    }
    self.source = source
    nodes = try TemplateParser.parse(source)
  }

  /// The text of a conversation.
  ///
  /// `addGenerationPrompt` ends it where the assistant is to speak; `bos` and `eos` are the texts
  /// of the tokens that start and end a sequence; `variables` are further names the template may
  /// use, such as `tools` or `enable_thinking`; `date` is what `strftime_now` shows. Throws
  /// `template` where the template refuses the messages, does what is not supported, or exceeds the
  /// limits.
  public func render(
    messages: [ChatMessage], addGenerationPrompt: Bool, bos: String, eos: String,
    variables: [String: TemplateValue] = [:], date: Date = Date(), timeZone: TimeZone = .current
  ) throws(ModelError) -> String {
    var values = variables
    values["messages"] = .list(
      messages.map { message in
        var entries = TemplateDictionary()
        entries["role"] = .string(message.role)
        entries["content"] = .string(message.content)
        for name in message.additional.keys.sorted() {
          entries[.string(name)] = message.additional[name]
        }
        return .dictionary(entries)
      })
    values["add_generation_prompt"] = .bool(addGenerationPrompt)
    values["bos_token"] = .string(bos)
    values["eos_token"] = .string(eos)
    return try render(variables: values, date: date, timeZone: timeZone)
  }

  /// The template's text with nothing but `variables`.
  public func render(
    variables: [String: TemplateValue], date: Date = Date(), timeZone: TimeZone = .current
  ) throws(ModelError) -> String {
    var renderer = TemplateRenderer(
      variables: variables, date: TemplateDate(date, timeZone: timeZone))
    defer { renderer.dissolve() }
    var output = ""
    _ = try renderer.render(nodes, into: &output)
    return output
  }
}
