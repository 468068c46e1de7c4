import ArgumentParser
import Martlet

/// What the generated text must be.
struct ConstraintOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The whole text must match this regular expression.", valueName: "expression"))
  var regex: String?

  @Option(
    help: ArgumentHelp(
      "The text must be JSON by this schema: a file, or the schema itself.",
      valueName: "file|json"))
  var jsonSchema: String?

  @Option(
    help: """
      White space between the parts of JSON: 'flexible' allows a space or a line break with \
      indentation, 'compact' none. Default: flexible.
      """)
  var jsonWhitespace: Whitespace?

  enum Whitespace: String, ExpressibleByArgument, CaseIterable {
    case flexible, compact
  }

  func constraint() throws -> Constraint? {
    if regex != nil, jsonSchema != nil {
      throw CommandError(.usage, "--regex and --json-schema exclude each other; give one of them")
    }
    if jsonWhitespace != nil, jsonSchema == nil {
      throw CommandError(.usage, "--json-whitespace does nothing without --json-schema")
    }
    if let regex { return try Constraint.regex(regex) }
    guard let jsonSchema else { return nil }
    return try Constraint.jsonSchema(
      try schemaText(jsonSchema), whitespace: jsonWhitespace == .compact ? .compact : .flexible)
  }

  /// The schema itself if the option begins as one does, else what the file holds.
  private func schemaText(_ option: String) throws(CommandError) -> String {
    let begin = option.first { !$0.isWhitespace }
    if begin == "{" || option == "true" || option == "false" { return option }
    guard begin != nil else {
      throw CommandError(.usage, "--json-schema is empty; name a file or write a schema")
    }
    guard let text = String(validating: try readBytes(of: option), as: UTF8.self) else {
      throw CommandError(.usage, "\(option): the schema is not UTF-8; convert it first")
    }
    return text
  }
}
