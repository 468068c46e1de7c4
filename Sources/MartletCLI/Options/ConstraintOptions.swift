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
    try Constraint.choose(
      regex: regex, jsonSchema: jsonSchema,
      whitespace: jsonWhitespace.map { $0 == .compact ? .compact : .flexible })
  }
}
