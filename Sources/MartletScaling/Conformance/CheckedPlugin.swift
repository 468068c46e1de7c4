import Foundation

/// The plugin that a check is about, found from a path that a person typed.
struct CheckedPlugin: Sendable {
  let manifest: PluginManifest
  let manifestPath: String

  /// - Parameter path: a manifest, a library whose manifest is near, or a folder with one plugin.
  init(path: String) throws(CaseFailure) {
    let found = try Self.manifest(for: URL(fileURLWithPath: path).resolvingSymlinksInPath().path)
    manifestPath = found
    do throws(ScalingError) {
      manifest = try PluginManifest(file: found)
    } catch {
      throw CaseFailure(error.message)
    }
  }

  var folder: String { URL(fileURLWithPath: manifestPath).deletingLastPathComponent().path }

  /// What a case that used every component reports.
  var countedComponents: String {
    manifest.components.count == 1 ? "1 component" : "\(manifest.components.count) components"
  }

  /// What a case that ran every strategy reports.
  var ranStrategies: String {
    let count = manifest.components.count { $0.kind == .strategy }
    return count == 1 ? "1 strategy" : "\(count) strategies"
  }

  /// A host that finds this plugin first and the usual ones for its defaults.
  func host(isolation: PluginIsolation? = nil) throws(CaseFailure) -> PluginHost {
    let standard = PluginSearchPath.standard()
    let isOwn = standard.folders.contains { own in
      own.isOwn && (folder == own.path || folder.hasPrefix(own.path + "/"))
    }
    let own = PluginSearchPath.Folder(path: folder, isExplicit: true, isOwn: isOwn)
    let host = PluginHost(
      searchPath: PluginSearchPath(
        folders: [own] + standard.folders.filter { $0.path != folder }),
      isolation: isolation)
    if !host.plugins.contains(where: { $0.manifestPath == manifestPath }) {
      let refusal = host.refusals.first { $0.path == manifestPath || $0.path == folder }
      throw CaseFailure(refusal?.reason ?? "the host does not find it at \(manifestPath)")
    }
    return host
  }

  /// The plugin's components as the host found them.
  func components(_ host: PluginHost) throws(CaseFailure) -> [InstalledComponent] {
    let mine = host.components.filter { $0.plugin?.manifestPath == manifestPath }
    if mine.count < manifest.components.count {
      throw CaseFailure("another plugin offers a component with one of its ids")
    }
    return mine
  }

  /// The ids of its strategies.
  func strategies(_ host: PluginHost) throws(CaseFailure) -> [String] {
    try components(host).filter { $0.manifest.kind == .strategy }.map(\.manifest.id)
  }

  private static func manifest(for path: String) throws(CaseFailure) -> String {
    let files = FileManager.default
    var isFolder: ObjCBool = false
    guard files.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw CaseFailure("\(path): there is no such file or folder")
    }
    if path.hasSuffix(PluginManifest.fileSuffix) { return path }
    let folder =
      isFolder.boolValue ? path : URL(fileURLWithPath: path).deletingLastPathComponent().path
    var manifests = manifests(in: folder)
    if !isFolder.boolValue {
      let library = URL(fileURLWithPath: path).lastPathComponent
      manifests = manifests.filter { (try? PluginManifest(file: $0))?.library == library }
    }
    guard let manifest = manifests.first else {
      throw CaseFailure("\(path): no manifest (*\(PluginManifest.fileSuffix)) is there")
    }
    if manifests.count > 1 {
      throw CaseFailure("\(path): \(manifests.count) plugins are there; name one manifest")
    }
    return manifest
  }

  /// The manifests in a folder and in its `*.resources` folders.
  private static func manifests(in folder: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let bundles = names.filter { $0.hasSuffix(".resources") }.map { "\(folder)/\($0)" }
    return ([folder] + bundles).flatMap { folder in
      ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
        .filter { $0.hasSuffix(PluginManifest.fileSuffix) }.map { "\(folder)/\($0)" }
    }.sorted()
  }
}
