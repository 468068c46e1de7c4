/// What the machine or its operating system refuses.
public struct MachineError: Error, CustomStringConvertible, Sendable, Equatable {
  /// The kind of failure.
  public enum Code: String, Sendable {
    /// A file cannot be opened, read or mapped, or is not what it was.
    case file
    /// The topology of the machine cannot be read.
    case topology
    /// Threads cannot be started.
    case threads
    /// Memory cannot be had or placed.
    case memory
    /// A value given by the caller is out of range.
    case argument
  }

  /// The kind of failure.
  public let code: Code
  /// What was refused, for which file or value, and what to do.
  public let message: String

  /// An error with its message.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
