/// What a benchmark refuses: settings that make no sense, or a machine or file that does not allow it.
public struct BenchError: Error, CustomStringConvertible, Sendable, Equatable {
  /// The kind of failure.
  public enum Code: String, Sendable {
    /// A setting is out of range or does not fit the model.
    case argument
    /// The system refused something: memory, a process, a file.
    case system
  }

  /// The kind of failure.
  public let code: Code
  /// What was wrong with which value, and what to do.
  public let message: String

  /// An error with its message.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }

  /// Throws unless every value is within `range` and there is at least one.
  static func require(
    _ name: String, _ values: [Int], in range: ClosedRange<Int>
  ) throws(BenchError) {
    guard !values.isEmpty else { throw BenchError(.argument, "\(name) is empty; give a value") }
    for value in values where !range.contains(value) {
      throw BenchError(
        .argument,
        "\(name) \(value) is out of range; choose between \(range.lowerBound) and "
          + "\(range.upperBound)")
    }
  }
}
