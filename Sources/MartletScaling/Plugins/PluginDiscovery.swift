import CMartlet
import Foundation

/// Reads the manifests of a series of folders and decides which plugins to use.
struct PluginDiscovery {
  private(set) var plugins: [InstalledPlugin] = []
  private(set) var components: [InstalledComponent] = []
  var refusals: [PluginRefusal] = []
  /// Which plugins are trusted; empty without a lock file.
  private(set) var lock = PluginLock()
  /// Why the lock file is of no use, in which case nothing is loaded.
  private var lockFailure: String?
  private let trust = FileTrust(executable: PluginSearchPath.currentExecutable)

  init(lockFile: String?) {
    guard let lockFile else { return }
    do throws(ScalingError) { lock = try PluginLock(file: lockFile) } catch {
      lockFailure = error.message
    }
  }

  /// Reads the manifests in a folder and in its `*.resources` folders (where a Swift build puts
  /// them), sorted by name.
  mutating func search(_ folder: PluginSearchPath.Folder) {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path) else {
      if folder.isExplicit {
        refusals.append(PluginRefusal(path: folder.path, reason: Self.absence(of: folder.path)))
      }
      return
    }
    let nested = names.filter { $0.hasSuffix(".resources") }.flatMap { bundle in
      ((try? FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/\(bundle)")) ?? [])
        .map { "\(bundle)/\($0)" }
    }
    let manifests = (names + nested).filter { $0.hasSuffix(PluginManifest.fileSuffix) }.sorted()
    // A folder without plugins is nobody's concern, whoever may write to it.
    if manifests.isEmpty { return }
    if let problem = lockFailure ?? trust.problem(folder.path) {
      refusals.append(PluginRefusal(path: folder.path, reason: "no plugin is loaded: \(problem)"))
      return
    }
    for name in manifests { consider("\(folder.path)/\(name)", in: folder) }
  }

  /// Why the entries of a folder cannot be listed.
  static func absence(of path: String) -> String {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      return "there is no such folder"
    }
    return isFolder.boolValue ? "the folder cannot be read" : "it is a file, not a folder"
  }

  /// Accepts or refuses one manifest.
  mutating func consider(_ path: String, in folder: PluginSearchPath.Folder) {
    let manifest: PluginManifest
    let data: Data
    do throws(ScalingError) {
      data = try PluginManifest.contents(of: path)
      manifest = try PluginManifest(data: data, file: path)
    } catch {
      // The message begins with the path already.
      let reason =
        error.message.hasPrefix("\(path): ")
        ? String(error.message.dropFirst(path.count + 2)) : error.message
      refusals.append(PluginRefusal(path: path, reason: reason))
      return
    }
    func refuse(_ reason: String) {
      refusals.append(PluginRefusal(path: path, reason: reason, offers: manifest.offers))
    }

    if let reason = Self.abiMismatch(manifest) { return refuse(reason) }
    if let stated = manifest.swiftRuntime,
      let reason = SwiftRuntime.mismatch(stated, isBundled: folder.isOwn)
    {
      return refuse(reason)
    }
    guard let library = Self.library(manifest.library, besides: path) else {
      return refuse("its library '\(manifest.library)' is neither beside it nor one folder up")
    }
    let manifestFolder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    for item in [manifestFolder, path, library] {
      if let problem = trust.problem(item) { return refuse(problem) }
    }
    if let problem = lock.problem(manifest: manifest, data: data, at: path) {
      return refuse(problem)
    }
    if let same = plugins.first(where: { $0.manifest.id == manifest.id }) {
      return refuse("plugin '\(manifest.id)' was already found at \(same.manifestPath)")
    }
    let plugin = InstalledPlugin(
      manifest: manifest, manifestPath: path, libraryPath: library)
    plugins.append(plugin)
    for component in manifest.components { offer(component, from: plugin) }
  }

  private mutating func offer(_ component: ComponentManifest, from plugin: InstalledPlugin) {
    let isBuiltIn =
      component.kind == .strategy && BuiltInStrategy(rawValue: component.id) != nil
    let other = components.first {
      $0.manifest.kind == component.kind && $0.manifest.id == component.id
    }
    if isBuiltIn || other != nil {
      refusals.append(
        PluginRefusal(
          path: plugin.manifestPath,
          reason: "\(component.kind) '\(component.id)' is already offered by "
            + (other?.plugin?.manifestPath ?? "the host itself")))
      return
    }
    components.append(InstalledComponent(manifest: component, plugin: plugin))
  }

  /// Why a plugin built for another version of the interface is refused; nil when it fits.
  static func abiMismatch(_ manifest: PluginManifest) -> String? {
    let (major, minor) = (UInt32(MARTLET_PLUGIN_ABI_MAJOR), UInt32(MARTLET_PLUGIN_ABI_MINOR))
    if manifest.abiMajor == major, manifest.abiMinor <= minor { return nil }
    let what =
      "it was built for plugin interface \(manifest.abiMajor).\(manifest.abiMinor) and this host serves "
      + "\(major).\(minor)"
    if (manifest.abiMajor, manifest.abiMinor) > (major, minor) {
      return what + ": use a newer Martlet, or build it with the plugin.h of this one"
    }
    return what
      + ": build it again with the plugin.h (in Swift the author kit) of this release, and state "
      + "\"abi\": {\"major\": \(major), \"minor\": \(minor)} in its manifest"
  }

  /// The library beside a manifest or one folder up.
  static func library(_ name: String, besides manifest: String) -> String? {
    let folder = URL(fileURLWithPath: manifest).deletingLastPathComponent()
    let candidates = [folder, folder.deletingLastPathComponent()].map {
      $0.appendingPathComponent(name).path
    }
    return candidates.first { FileManager.default.fileExists(atPath: $0) }
  }
}
