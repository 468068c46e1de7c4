public import MartletEngine

/// Why a run, a plugin or a setting of one could not be used.
public struct ScalingError: Error, CustomStringConvertible, Sendable, Equatable {
  /// The kind of failure, for callers that decide by it.
  public enum Code: String, Sendable, CaseIterable {
    /// An argument of a call or a command is out of range or inconsistent.
    case argument
    /// A manifest is missing something or says something it must not.
    case manifest
    /// A plugin was found and not accepted.
    case refused
    /// No component of that kind and id exists.
    case notFound
    /// An option is unknown, of the wrong type or out of range.
    case option
    /// A budget is not a usable amount.
    case budget
    /// A plugin failed, and there is no answer so far to return.
    case plugin
    /// The engine failed or refused the request; ``ScalingError/engineCode`` says how.
    case engine
    /// The run was cancelled before there was an answer.
    case cancelled
    /// A file could not be read or written.
    case file
  }

  /// The kind of failure.
  public let code: Code
  /// The engine's own code, for ``Code/engine``.
  public let engineCode: EngineError.Code?
  /// One readable sentence that names file, field or value and what to do.
  public let message: String

  /// Makes an error with its readable sentence.
  public init(_ code: Code, _ message: String) {
    self.code = code
    engineCode = nil
    self.message = message
  }

  /// An error of the engine, as the run it ended reports it.
  init(_ error: EngineError) {
    code = .engine
    engineCode = error.code
    message = error.message
  }

  public var description: String { message }
}
