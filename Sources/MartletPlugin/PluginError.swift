import CMartlet

/// Why a host call failed, or why a component gives up.
///
/// Throw one from a component and the host receives its status and its message; any other error
/// becomes ``Code-swift.struct/plugin`` with the error's description.
public struct PluginError: Error, CustomStringConvertible, Sendable, Equatable {
  /// A status of the plugin interface, `martlet_status` in `plugin.h`.
  public struct Code: RawRepresentable, Sendable, Hashable {
    /// The `martlet_status` number: zero is success, failures are negative.
    public let rawValue: Int32

    /// Wraps a `martlet_status` number; unknown ones are kept as they are.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    init(_ status: martlet_status) { self.rawValue = status.rawValue }

    /// An argument is null, out of range or inconsistent with another.
    public static let argument = Code(MARTLET_E_ARGUMENT)
    /// Valid, but this host, backend or component cannot do it.
    public static let unsupported = Code(MARTLET_E_UNSUPPORTED)
    /// Out of memory.
    public static let memory = Code(MARTLET_E_MEMORY)
    /// The handle was released, never existed, or belongs to another run.
    public static let handle = Code(MARTLET_E_HANDLE)
    /// A budget of the run ended.
    public static let budget = Code(MARTLET_E_BUDGET)
    /// The run was cancelled or its deadline passed.
    public static let cancelled = Code(MARTLET_E_CANCELLED)
    /// The call is not allowed now or on this thread.
    public static let state = Code(MARTLET_E_STATE)
    /// The sequence would exceed the model's context length.
    public static let context = Code(MARTLET_E_CONTEXT)
    /// The named thing does not exist.
    public static let notFound = Code(MARTLET_E_NOT_FOUND)
    /// The component's own failure.
    public static let plugin = Code(MARTLET_E_PLUGIN)
    /// A failure inside the host.
    public static let `internal` = Code(MARTLET_E_INTERNAL)
  }

  /// What kind of failure it is.
  public let code: Code
  /// What happened, for a person to read.
  public let message: String

  /// Makes an error with a status and a message.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }

  /// True when the run is over: a budget or the deadline ended, or someone cancelled. What was
  /// generated until then is kept and can still be read, scored and answered with.
  public var endsRun: Bool { code == .budget || code == .cancelled }

  var status: martlet_status { martlet_status(rawValue: code.rawValue) }
}
