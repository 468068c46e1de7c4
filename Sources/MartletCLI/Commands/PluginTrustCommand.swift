import ArgumentParser
import Foundation
import Martlet

/// `martlet plugin trust`.
struct PluginTrustCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trust",
    abstract: "Pins plugins by their bytes, so that a changed one is refused.",
    discussion: """
      A plugin is named by its id, its manifest or its library and pinned as it is now: SHA-256 of \
      manifest and library. Of a folder every plugin is pinned, and it is sealed: nothing else is \
      loaded from it. Without a name, all folders with plugins are. The lock is \
      martlet/plugins.lock.json in $XDG_CONFIG_HOME or ~/.config, or the file that \
      $MARTLET_PLUGIN_LOCK names; deleting it trusts everything again that only its owner can write.
      """)

  @Argument(help: "Plugins and folders.", transform: path)
  var names: [String] = []

  @OptionGroup var plugins: PluginFolders

  @Flag(help: "Print what is trusted, and whether it is unchanged.")
  var list = false

  @Flag(help: "Take trust back from what is named, or from everything.")
  var revoke = false

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    if list, revoke || !names.isEmpty {
      throw ValidationError("--list stands alone; leave the names and --revoke out.")
    }
  }

  func run() throws {
    guard let file = PluginLock.standardPath() else {
      throw CommandError(
        .usage, "there is no place for the lock: set \(PluginLock.environmentVariable) to a path")
    }
    if list { return try printLock(PluginLock(file: file), file) }
    var lock = try PluginLock(file: file)
    if revoke { try takeBack(&lock) } else { try trust(&lock) }
    try lock.save(to: file)
    try printLock(lock, file)
  }

  private func takeBack(_ lock: inout PluginLock) throws {
    if names.isEmpty { lock = PluginLock() }
    for name in names {
      let absolute = URL(fileURLWithPath: name).standardizedFileURL.path
      if !lock.revoke(name), !lock.revoke(absolute) {
        throw CommandError(
          .usage, "'\(name)' is not trusted; 'martlet plugin trust --list' shows what is")
      }
    }
  }

  private func trust(_ lock: inout PluginLock) throws {
    let standard = try PluginSearchPath.standard(directories: plugins.checkedDirectories()).unlocked
    if names.isEmpty {
      let host = PluginHost(searchPath: standard)
      for plugin in host.plugins { try lock.pin(plugin) }
      for folder in standard.folders.map(\.path)
      where host.plugins.contains(where: { $0.manifestPath.hasPrefix(folder + "/") }) {
        lock.seal(folder)
      }
    }
    for name in names {
      let path = URL(fileURLWithPath: name).standardizedFileURL.path
      var isFolder: ObjCBool = false
      let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
      if exists, isFolder.boolValue {
        let found = at(path, standard).plugins
        guard !found.isEmpty else {
          throw CommandError(.input, "\(path): there is no plugin; name the folder of a manifest")
        }
        for plugin in found { try lock.pin(plugin) }
        lock.seal(path)
      } else if exists {
        try lock.pin(plugin(at: path, standard))
      } else {
        let host = PluginHost(searchPath: standard)
        guard let plugin = host.plugins.first(where: { $0.manifest.id == name }) else {
          throw CommandError(
            .unavailable,
            "there is no plugin '\(name)'; 'martlet plugin list --verbose' shows where plugins are "
              + "looked for and what was refused")
        }
        try lock.pin(plugin)
      }
    }
  }

  /// The plugin whose manifest or library is at a path.
  private func plugin(
    at path: String, _ standard: PluginSearchPath
  ) throws(CommandError) -> InstalledPlugin {
    var folder = URL(fileURLWithPath: path).deletingLastPathComponent()
    if folder.lastPathComponent.hasSuffix(".resources") { folder.deleteLastPathComponent() }
    let host = at(folder.path, standard)
    if let found = host.plugins.first(where: { $0.manifestPath == path || $0.libraryPath == path })
    {
      return found
    }
    let refusal = host.refusals.first { $0.path == path || $0.path == folder.path }
    throw CommandError(
      .data, "\(path): \(refusal?.reason ?? "this is neither a manifest nor a plugin's library")")
  }

  /// What a folder alone offers.
  private func at(_ folder: String, _ standard: PluginSearchPath) -> PluginHost {
    let isOwn = standard.folders.contains { $0.isOwn && $0.path == folder }
    return PluginHost(
      searchPath: PluginSearchPath(folders: [
        .init(path: folder, isExplicit: true, isOwn: isOwn)
      ]))
  }

  private struct Row: Encodable {
    let id, version, manifest, manifest_sha256, library_sha256, status: String
  }
  private struct Listing: Encodable {
    let file: String
    let sealed_folders: [String]
    let plugins: [Row]
  }

  private func printLock(_ lock: PluginLock, _ file: String) throws {
    if json {
      let rows = lock.pins.map {
        Row(
          id: $0.id, version: $0.version, manifest: $0.manifest,
          manifest_sha256: $0.manifestSHA256, library_sha256: $0.librarySHA256, status: $0.status)
      }
      return try printJSON(
        Listing(file: file, sealed_folders: lock.sealedFolders, plugins: rows))
    }
    if !lock.pins.isEmpty {
      var table = Table(["id", "version", "library SHA-256", "status"])
      for pin in lock.pins {
        table.append([pin.id, pin.version, pin.librarySHA256, pin.status])
      }
      print(table.render())
    }
    for folder in lock.sealedFolders { print("sealed: \(folder)") }
    print("\(lock.pins.count) plugins trusted in \(file)")
  }
}
