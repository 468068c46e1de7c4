/// Why an evaluation cannot be set up, or its files cannot be used.
public struct LabError: Error, CustomStringConvertible, Sendable, Equatable {
  /// The kind of failure, for callers that decide by it.
  public enum Code: Sendable {
    /// A suite, strategy, budget or amount that cannot be used.
    case argument
    /// A file was read and is not valid.
    case data
    /// A file or folder cannot be read.
    case input
    /// A file or folder cannot be written.
    case output
    /// Something needed is not here, such as a checker's command.
    case unavailable
  }

  /// The kind of failure.
  public let code: Code
  /// One readable sentence that names file, field or value and what to do.
  public let message: String

  init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }

  public var description: String { message }
}
