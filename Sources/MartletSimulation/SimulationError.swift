/// Why a simulated world could not be made.
public struct SimulationError: Error, CustomStringConvertible, Sendable, Equatable {
  /// The kind of failure.
  public enum Code: String, Sendable, CaseIterable {
    /// The script does not follow its grammar.
    case syntax
    /// States, words or probabilities do not fit together.
    case world
  }

  /// The kind of failure.
  public let code: Code
  /// One readable sentence that names the line or state and what is wrong.
  public let message: String

  /// Makes an error with its readable sentence.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
