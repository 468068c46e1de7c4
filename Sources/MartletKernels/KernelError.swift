import CMartlet

/// What the kernels refuse: an input that does not fit, something this build or CPU cannot do, or
/// memory that is not there.
public struct KernelError: Error, CustomStringConvertible, Sendable, Equatable {
  /// The kind of failure.
  public enum Code: String, Sendable {
    /// An argument is out of range or inconsistent with another.
    case argument
    /// The operation is valid but this build or CPU cannot do it.
    case unsupported
    /// Memory could not be had.
    case memory
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
}

extension martlet_status {
  /// Traps on anything but success. Used after the arguments have been checked, so that a refusal
  /// can only be a programmer error.
  @inline(__always)
  func expectSuccess(_ operation: StaticString) {
    guard self == MARTLET_OK else {
      preconditionFailure("\(operation): \(String(cString: martlet_status_name(self)))")
    }
  }

  /// Throws anything but success as a `KernelError`.
  func throwing(_ operation: String) throws(KernelError) {
    guard self != MARTLET_OK else { return }
    let name = String(cString: martlet_status_name(self))
    switch self {
    case MARTLET_E_MEMORY: throw KernelError(.memory, "\(operation): \(name)")
    case MARTLET_E_UNSUPPORTED: throw KernelError(.unsupported, "\(operation): \(name)")
    default: throw KernelError(.argument, "\(operation): \(name)")
    }
  }
}
