import Foundation

/// Where plugins are looked for, in order; the first to offer a component wins.
///
/// The current folder is never searched.
public struct PluginSearchPath: Sendable, Equatable {
  /// One place.
  public struct Folder: Sendable, Equatable {
    /// Its path, absolute.
    public let path: String
    /// Whether a person named it, so that its absence is worth a word.
    public let isExplicit: Bool
    /// Whether it belongs to this installation, so that `bundled` Swift plugins may lie there.
    public let isOwn: Bool

    /// One place to look.
    public init(path: String, isExplicit: Bool, isOwn: Bool) {
      self.path = path
      self.isExplicit = isExplicit
      self.isOwn = isOwn
    }
  }

  /// The environment variable with further folders, separated by colons.
  public static let environmentVariable = "MARTLET_PLUGIN_PATH"

  /// The folders, first searched first.
  public let folders: [Folder]
  /// What was left out, and why.
  public let refusals: [PluginRefusal]
  /// The file that says which plugins are trusted, see ``PluginLock``; nil for none.
  public let lockFile: String?

  /// Exactly these folders.
  public init(folders: [Folder], refusals: [PluginRefusal] = [], lockFile: String? = nil) {
    self.folders = folders
    self.refusals = refusals
    self.lockFile = lockFile
  }

  /// The same folders without a lock: to look at what is to be trusted.
  public var unlocked: PluginSearchPath { PluginSearchPath(folders: folders, refusals: refusals) }

  /// The usual order: `MARTLET_PLUGIN_PATH` (ignored when the process is privileged), beside the
  /// executable and the library that this code is in, the folders given,
  /// `$XDG_DATA_HOME/martlet/plugins`, `lib/martlet/plugins` of the installation, `/usr/local` and
  /// `/usr`.
  ///
  /// - Parameters:
  ///   - directories: what the user named, as with `--plugin-dir`.
  ///   - executable: the program's path; its own by default.
  ///   - image: the path of the library that this code is in; nil for the running program's own.
  public static func standard(
    directories: [String] = [], executable: String = Self.currentExecutable,
    image: String? = nil,
    environment: [String: String] = ProcessInfo.processInfo.environment,
    isPrivileged privileged: Bool = isPrivileged()
  ) -> PluginSearchPath {
    var folders: [Folder] = []
    var refusals: [PluginRefusal] = []
    func add(_ path: String, isExplicit: Bool = false, isOwn: Bool = false) {
      let folder = URL(fileURLWithPath: path).standardizedFileURL.path
      if !folders.contains(where: { $0.path == folder }) {
        folders.append(Folder(path: folder, isExplicit: isExplicit, isOwn: isOwn))
      }
    }

    if let override = environment[environmentVariable], !override.isEmpty {
      if privileged {
        refusals.append(
          PluginRefusal(
            path: override, reason: "\(environmentVariable) is ignored in a privileged process"))
      } else {
        for path in override.split(separator: ":", omittingEmptySubsequences: false) {
          if path.hasPrefix("/") {
            add(String(path), isExplicit: true)
          } else {
            refusals.append(
              PluginRefusal(
                path: String(path), reason: "a folder in \(environmentVariable) must be absolute"))
          }
        }
      }
    }
    let image = image ?? (executable == currentExecutable ? Installation.image : executable)
    for file in [executable, image] { add(Installation.folder(of: file), isOwn: true) }
    for directory in directories { add(directory, isExplicit: true) }
    let home = environment["HOME"].map { $0 + "/.local/share" }
    if !privileged, let data = environment["XDG_DATA_HOME"] ?? home, data.hasPrefix("/") {
      add(data + "/martlet/plugins")
    }
    for folder in Installation.supportFolders(executable: executable, image: image) {
      add(folder + "/plugins", isOwn: true)
    }
    add("/usr/local/lib/martlet/plugins")
    add("/usr/lib/martlet/plugins")
    return PluginSearchPath(
      folders: folders, refusals: refusals,
      lockFile: PluginLock.standardPath(environment: environment, isPrivileged: privileged))
  }

  /// The path of the running program.
  public static let currentExecutable: String =
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
    ?? CommandLine.arguments[0]
}

/// A plugin or folder that was found and not used.
public struct PluginRefusal: Sendable, Equatable, CustomStringConvertible {
  /// The manifest, library or folder.
  public let path: String
  /// Why, as a sentence without its end.
  public let reason: String
  /// What it would have offered, as `kind id`; empty when its manifest could not be read.
  let offers: [String]

  /// Something not used, and why.
  public init(path: String, reason: String) { self.init(path: path, reason: reason, offers: []) }

  init(path: String, reason: String, offers: [String]) {
    self.path = path
    self.reason = reason
    self.offers = offers
  }

  public var description: String { "\(path): \(reason)" }
}
