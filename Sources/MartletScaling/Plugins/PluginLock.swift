public import Foundation

/// The plugins that somebody has looked at and trusts, named by their bytes.
///
/// A pinned plugin is loaded only while its manifest and its library are what was pinned. In a sealed
/// folder nothing but pinned plugins is loaded. Plugins that are neither pinned nor in a sealed folder
/// are not concerned.
public struct PluginLock: Sendable, Equatable {
  /// One plugin.
  public struct Pin: Sendable, Equatable, Codable {
    /// The plugin's id, by which it is recognised wherever it lies.
    public var id: String
    /// Its version, for people.
    public var version: String
    /// Where it was when it was pinned.
    public var manifest: String
    /// SHA-256 of the manifest, in hexadecimal digits.
    public var manifestSHA256: String
    /// SHA-256 of the library.
    public var librarySHA256: String

    private enum CodingKeys: String, CodingKey {
      case id, version, manifest
      case manifestSHA256 = "manifest_sha256"
      case librarySHA256 = "library_sha256"
    }
  }

  /// The version of the file.
  public static let schema = 1
  /// The environment variable that names another lock file; ignored in a privileged process.
  public static let environmentVariable = "MARTLET_PLUGIN_LOCK"

  /// What is trusted, by id.
  public private(set) var pins: [Pin] = []
  /// Folders in which nothing else is loaded.
  public private(set) var sealedFolders: [String] = []

  /// Nothing pinned and nothing sealed.
  public init() {}

  /// Where the lock file of this user is: `MARTLET_PLUGIN_LOCK`, else `martlet/plugins.lock.json` in
  /// `$XDG_CONFIG_HOME` or `~/.config`, and in `/etc` for a privileged process.
  public static func standardPath(
    environment: [String: String] = ProcessInfo.processInfo.environment,
    isPrivileged privileged: Bool = isPrivileged()
  ) -> String? {
    let name = "/martlet/plugins.lock.json"
    if privileged { return "/etc" + name }
    if let path = environment[environmentVariable], path.hasPrefix("/") { return path }
    let home = environment["HOME"].map { $0 + "/.config" }
    guard let folder = environment["XDG_CONFIG_HOME"] ?? home, folder.hasPrefix("/") else {
      return nil
    }
    return folder + name
  }

  /// Reads a lock file; one that is not there locks nothing.
  /// - Throws: `refused` for a file that others may write to, `file` for one that cannot be read as
  ///   a lock. Nothing should be loaded then.
  public init(file: String) throws(ScalingError) {
    var status = stat()
    if lstat(file, &status) != 0 {
      if errno == ENOENT || errno == ENOTDIR { return }
      throw ScalingError(
        .refused, "the lock file \(file) cannot be looked at: \(String(cString: strerror(errno)))")
    }
    let trust = FileTrust(executable: PluginSearchPath.currentExecutable)
    let folder = URL(fileURLWithPath: file).deletingLastPathComponent().path
    for path in [folder, file] {
      if let problem = trust.problem(path) {
        throw ScalingError(.refused, "the lock file \(file) cannot be relied on: \(problem)")
      }
    }
    guard let data = FileManager.default.contents(atPath: file), data.count <= 64 << 20 else {
      throw ScalingError(.file, "the lock file \(file) cannot be read")
    }
    let content: Content
    do { content = try JSONDecoder().decode(Content.self, from: data) } catch {
      throw ScalingError(
        .file,
        "the lock file \(file) is damaged (\(error)): mend it, or delete it to trust anew")
    }
    guard content.schema == Self.schema else {
      throw ScalingError(
        .file,
        "the lock file \(file) has schema \(content.schema) and this host reads \(Self.schema)")
    }
    (pins, sealedFolders) = (content.plugins, content.sealedFolders)
  }

  /// Writes the lock; the file appears whole or not at all, for its owner to write only.
  /// - Throws: `file`.
  public func save(to file: String) throws(ScalingError) {
    let folder = URL(fileURLWithPath: file).deletingLastPathComponent()
    do {
      try FileManager.default.createDirectory(
        at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    } catch {
      throw ScalingError(.file, "\(folder.path) cannot be made: \(error.localizedDescription)")
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let content = Content(schema: Self.schema, sealedFolders: sealedFolders, plugins: pins)
    // Texts and lists of them always encode.
    guard let data = try? encoder.encode(content) else { return }
    try OutputFile.save(data + Data("\n".utf8), to: file)
    // Whatever the umask: a lock that others may write to would be refused.
    chmod(file, 0o644)
  }

  /// Pins a plugin as it is now, in place of what was pinned under its id.
  /// - Throws: `file` when it cannot be read.
  public mutating func pin(_ plugin: InstalledPlugin) throws(ScalingError) {
    let pin = Pin(
      id: plugin.manifest.id, version: plugin.manifest.version, manifest: plugin.manifestPath,
      manifestSHA256: SHA256.hex(try Self.contents(plugin.manifestPath)),
      librarySHA256: SHA256.hex(try Self.contents(plugin.libraryPath)))
    pins.removeAll { $0.id == pin.id }
    pins.append(pin)
    pins.sort { $0.id < $1.id }
  }

  /// Loads nothing from a folder from now on but what is pinned.
  public mutating func seal(_ folder: String) {
    if !sealedFolders.contains(folder) { sealedFolders = (sealedFolders + [folder]).sorted() }
  }

  /// Takes back a pin, or a sealed folder with the pins in it. False when there is neither.
  public mutating func revoke(_ name: String) -> Bool {
    let before = (pins.count, sealedFolders.count)
    pins.removeAll { $0.id == name || $0.manifest == name || Self.isInside($0.manifest, name) }
    sealedFolders.removeAll { $0 == name }
    return before != (pins.count, sealedFolders.count)
  }

  // MARK: What differs

  /// Why a plugin is not to be considered, as its manifest says; nil when nothing is against it.
  func problem(manifest: PluginManifest, data: Data, at path: String) -> String? {
    guard let pin = pins.first(where: { $0.id == manifest.id }) else {
      guard let folder = sealedFolders.first(where: { Self.isInside(path, $0) }) else {
        return nil
      }
      return "it is not among the plugins that are trusted in \(folder). To trust it: "
        + Self.command(path)
    }
    return Self.difference("manifest", SHA256.hex(data), pin.manifestSHA256, path)
  }

  /// The bytes of a pinned plugin's library, to be loaded in place of the file; nil for one that is not pinned.
  /// - Throws: `refused` when they are not what was pinned.
  func sealed(libraryOf plugin: InstalledPlugin) throws(ScalingError) -> SealedLibrary? {
    guard let pin = pins.first(where: { $0.id == plugin.manifest.id }) else { return nil }
    guard let data = FileManager.default.contents(atPath: plugin.libraryPath) else {
      throw ScalingError(.refused, "its library cannot be read")
    }
    let digest = SHA256.hex(data)
    if let problem = Self.difference("library", digest, pin.librarySHA256, plugin.manifestPath) {
      throw ScalingError(.refused, problem)
    }
    return try SealedLibrary.holding(data, digest: digest)
  }

  private static func difference(
    _ what: String, _ found: String, _ pinned: String, _ path: String
  ) -> String? {
    if found == pinned { return nil }
    return "its \(what) has SHA-256 \(found), and \(pinned) was trusted. To trust the change: "
      + command(path)
  }

  private static func command(_ path: String) -> String {
    let isPlain = path.utf8.allSatisfy {
      Character(Unicode.Scalar($0)).isLetter || Character(Unicode.Scalar($0)).isNumber
        || "/._-+".utf8.contains($0)
    }
    let quoted =
      isPlain ? path : "'" + path.replacingOccurrences(of: "'", with: #"'\''"#) + "'"
    return "martlet plugin trust \(quoted)"
  }

  private static func resolved(_ path: String) -> String {
    URL(fileURLWithPath: path).resolvingSymlinksInPath().path
  }

  private static func isInside(_ path: String, _ folder: String) -> Bool {
    // Folders are found under their own names and under links.
    let (path, folder) = (resolved(path), resolved(folder))
    return path.hasPrefix(folder.hasSuffix("/") ? folder : folder + "/")
  }

  private static func contents(_ path: String) throws(ScalingError) -> Data {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ScalingError(.file, "\(path) cannot be read")
    }
    return data
  }

  private struct Content: Codable {
    let schema: Int
    let sealedFolders: [String]
    let plugins: [Pin]

    private enum CodingKeys: String, CodingKey {
      case schema, plugins
      case sealedFolders = "sealed_folders"
    }
  }
}

extension PluginLock.Pin {
  /// What has become of the plugin where it was pinned: `unchanged`, `changed` or `missing`.
  public var status: String {
    guard let data = FileManager.default.contents(atPath: manifest),
      let found = try? PluginManifest(data: data, file: manifest),
      let path = PluginDiscovery.library(found.library, besides: manifest),
      let library = FileManager.default.contents(atPath: path)
    else { return "missing" }
    let isSame = SHA256.hex(data) == manifestSHA256 && SHA256.hex(library) == librarySHA256
    return isSame ? "unchanged" : "changed"
  }
}
