public import Foundation

/// That plugins run in processes of their own, and how.
///
/// A plugin that crashes or hangs there ends its run with an error and not this process, and it may
/// do only what its manifest asks for, see ``PluginPermission``. Answers are the same bit for bit.
/// The processes run the program `martlet-plugin-host`, which installs beside the tool.
public struct PluginIsolation: Sendable, Equatable {
  /// The environment variable that names the program; ignored in a privileged process.
  public static let environmentVariable = "MARTLET_PLUGIN_HOST"
  /// The program's file name.
  public static let helperName = "martlet-plugin-host"

  /// The program; nil to look for it, see ``standardHelper(executable:environment:isPrivileged:)``.
  public var helper: String?
  /// The most memory that a plugin's process may allocate, bytes.
  public var memoryBytes = 4 << 30
  /// How long a plugin may compute without a call of the host before it counts as hung, seconds; 0 for
  /// any time. Whatever it is, a run that ended or was cancelled ends its plugin after the session's
  /// grace.
  public var stallSeconds = 60.0
  /// How many processes of one plugin are kept for later runs.
  public var idleProcesses = 8
  /// Whether plugins run even where the kernel cannot hold them to their permissions. They still cannot
  /// take this process down.
  public var allowsUnconfined = false
  /// Acts as a kernel without landlock (1) or seccomp (2) would; for tests.
  package var missingFeatures: UInt32 = 0

  /// The defaults.
  public init(helper: String? = nil) { self.helper = helper }

  /// Where the program is: `MARTLET_PLUGIN_HOST`, else beside the executable or the library that holds
  /// this code, else in `libexec/martlet` of their installation. Nil when it is in none of them.
  public static func standardHelper(
    executable: String = PluginSearchPath.currentExecutable,
    environment: [String: String] = ProcessInfo.processInfo.environment,
    isPrivileged privileged: Bool = isPrivileged()
  ) -> String? {
    if let path = environment[environmentVariable], !path.isEmpty, !privileged { return path }
    let folders = [executable, Installation.image].map {
      URL(fileURLWithPath: Installation.folder(of: $0))
    }
    let places =
      folders.map { $0.appendingPathComponent(helperName) }
      // A library may lie in a folder of the platform's beneath lib.
      + folders.flatMap { folder in
        ["..", "../.."].map {
          folder.appendingPathComponent("\($0)/libexec/martlet/\(helperName)").standardizedFileURL
        }
      }
    return places.map(\.path).first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// The program, which nobody else may write to.
  func checkedHelper() throws(ScalingError) -> String {
    guard let path = helper ?? Self.standardHelper() else {
      throw ScalingError(
        .refused,
        "isolated plugins need the program \(Self.helperName), which is not beside this one; "
          + "install it there, or name it with \(Self.environmentVariable)")
    }
    let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
    guard FileManager.default.isExecutableFile(atPath: absolute) else {
      throw ScalingError(.refused, "\(absolute) is not a program that can be started")
    }
    let trust = FileTrust(executable: PluginSearchPath.currentExecutable)
    if let problem = trust.problem(absolute) { throw ScalingError(.refused, problem) }
    return absolute
  }
}

/// What an isolated plugin may do beyond computing; its manifest lists what it needs.
public enum PluginPermission: String, Sendable, CaseIterable {
  /// To connect to and listen on the internet.
  case network
  /// To read and write files. Without it a plugin reads its own folder and the system's libraries.
  case files
  /// To start processes, which may do what the plugin may.
  case subprocesses

  /// The bit of the C side, `MARTLET_PERMIT_…`.
  var bit: UInt32 {
    switch self {
    case .network: 1 << 0
    case .files: 1 << 1
    case .subprocesses: 1 << 2
    }
  }
}
