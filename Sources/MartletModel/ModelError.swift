/// Why a model file could not be opened, understood or loaded.
///
/// The message names the file, the field and the offending value, and says what to do. Model files
/// are untrusted input: whatever bytes they hold, MartletModel throws this and never traps.
public struct ModelError: Error, CustomStringConvertible, Sendable, Equatable {
  /// What kind of failure it is.
  public enum Code: String, Sendable, CaseIterable {
    /// The file cannot be opened.
    case file
    /// The file ends before something it announces.
    case truncated
    /// The file is empty or not GGUF, or its bytes contradict the format or each other.
    case format
    /// A metadata key or a tensor that the model needs is absent.
    case missing
    /// A metadata value has the wrong type or is out of range.
    case value
    /// A tensor's shape or type contradicts the configuration.
    case shape
    /// The file is sound but asks for something this version does not do.
    case unsupported
    /// The parts of a split model do not belong together, or one is absent.
    case split
    /// Memory for the weights could not be had.
    case memory
    /// The tokenizer described by the metadata cannot be built.
    case tokenizer
    /// The chat template cannot be parsed or rendered.
    case template
    /// An argument of the caller's is wrong.
    case argument
  }

  /// The kind of failure.
  public let code: Code
  /// One readable sentence or two: file, field, value, and what to do.
  public let message: String

  /// An error of `code` with a message for people.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }
}
