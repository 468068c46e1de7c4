/// Why an engine call could not do what was asked.
public struct EngineError: Error, CustomStringConvertible, Sendable, Equatable {
  /// The kind of failure, for callers that decide by it.
  public enum Code: String, Sendable, CaseIterable {
    /// A sequence would exceed the model's context length.
    case context
    /// An argument is out of range or does not belong here.
    case argument
    /// The call is not allowed while the branch or run is in its present state.
    case state
    /// The branch was released, or belongs to another run or engine.
    case released
    /// The run was cancelled, the calling task was cancelled, or the engine was shut down.
    case cancelled
    /// The run's budget has no room for it.
    case budget
    /// The backend failed.
    case backend
    /// The model gave logits from which nothing can be drawn: NaN, +∞ or none that is finite.
    case logits
    /// The system refused memory.
    case memory
    /// A file cannot be read or written.
    case file
    /// A file was read and is not valid here.
    case data
    /// A replay asked for what the run it replays never drew.
    case unrecorded
  }

  /// The kind of failure.
  public let code: Code
  /// One readable sentence that names the values involved and what to do.
  public let message: String

  /// Makes an error with its readable sentence.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
