import CMartlet
import Foundation
public import Logging
import Synchronization

/// A plugin whose manifest was read and accepted. Its library may not have been loaded yet.
public struct InstalledPlugin: Sendable, Equatable {
  /// What it says of itself.
  public let manifest: PluginManifest
  /// Where its manifest is.
  public let manifestPath: String
  /// Where its library is.
  public let libraryPath: String
}

/// A component that a run can use.
public struct InstalledComponent: Sendable, Equatable {
  /// What its manifest says.
  public let manifest: ComponentManifest
  /// The plugin it comes from; nil for one that is part of the host.
  public let plugin: InstalledPlugin?

  /// Its version.
  public var version: String { plugin?.manifest.version ?? BuiltInStrategy.version }
  /// The path of its library, or `built-in`.
  public var path: String { plugin?.libraryPath ?? "built-in" }
}

/// Finds plugins, says why it refuses one, and loads a library when one of its components is used.
///
/// Loaded libraries stay loaded: nothing of a plugin is ever unmapped.
public final class PluginHost: Sendable {
  /// The accepted plugins, in search order.
  public let plugins: [InstalledPlugin]
  /// Every component a run can use, by kind, then id. Of two with one id the first found counts.
  public let components: [InstalledComponent]

  /// How plugins are isolated; nil where they run in this process.
  public let isolation: PluginIsolation?

  private let logger: Logger
  private let lock: PluginLock
  private let state: Mutex<State>

  private struct State {
    var refusals: [PluginRefusal]
    var loaded: [String: Result<any ComponentSource, ScalingError>] = [:]
  }

  /// Reads the manifests in the folders of a search path. Never throws: what is at fault is in
  /// ``refusals`` and in the log, and the rest is usable.
  /// - Parameter isolation: runs plugins in processes of their own.
  public init(
    searchPath: PluginSearchPath = .standard(), isolation: PluginIsolation? = nil,
    logger: Logger = Logger(label: "martlet.plugins")
  ) {
    var discovery = PluginDiscovery(lockFile: searchPath.lockFile)
    discovery.refusals = searchPath.refusals
    for folder in searchPath.folders { discovery.search(folder) }
    plugins = discovery.plugins
    components =
      (BuiltInStrategy.allCases.map { InstalledComponent(manifest: $0.manifest, plugin: nil) }
      + discovery.components)
      .sorted {
        ($0.manifest.kind.rawABIValue, $0.manifest.id) < (
          $1.manifest.kind.rawABIValue, $1.manifest.id
        )
      }
    self.logger = logger
    self.isolation = isolation
    lock = discovery.lock
    for refusal in discovery.refusals { logger.warning("not using \(refusal)") }
    state = Mutex(State(refusals: discovery.refusals))
  }

  /// Everything found and not used, with reasons: folders, manifests, and libraries that failed to
  /// load.
  public var refusals: [PluginRefusal] { state.withLock { $0.refusals } }

  /// The component of a kind with an id.
  /// - Throws: `notFound`, naming what there is, or what was refused under that id.
  public func component(_ kind: ComponentKind, _ id: String) throws(ScalingError)
    -> InstalledComponent
  {
    if let found = components.first(where: { $0.manifest.kind == kind && $0.manifest.id == id }) {
      return found
    }
    let refused = refusals.filter { $0.offers.contains("\(kind) \(id)") }.map(\.description)
    if !refused.isEmpty {
      throw ScalingError(
        .refused, "\(kind) '\(id)' is not usable: \(refused.joined(separator: "; "))")
    }
    let known = components.filter { $0.manifest.kind == kind }.map(\.manifest.id)
    throw ScalingError(
      .notFound,
      "there is no \(kind) '\(id)'; "
        + (known.isEmpty ? "none was found" : "there are: \(known.joined(separator: ", "))")
        + ". 'martlet plugin list' shows where plugins are looked for")
  }

  /// Loads a component's library, once, and gives its functions.
  /// - Throws: `refused` with the reason, each time the same.
  func load(_ component: InstalledComponent) throws(ScalingError) -> LoadedComponent {
    guard let plugin = component.plugin else {
      throw ScalingError(.argument, "'\(component.manifest.id)' is built in and has no library")
    }
    // Loading under the lock: two threads must not both call a plugin's entry function.
    let library = state.withLock { state in
      if let known = state.loaded[plugin.libraryPath] { return known }
      let result = Result { () throws(ScalingError) -> any ComponentSource in
        let sealed = try lock.sealed(libraryOf: plugin)
        if let isolation { return try IsolatedLibrary(plugin, isolation, sealed: sealed) }
        return try PluginLibrary(
          path: sealed?.path ?? plugin.libraryPath, manifest: plugin.manifest)
      }
      if case .failure(let error) = result {
        state.refusals.append(
          PluginRefusal(path: plugin.libraryPath, reason: error.message, offers: plugin.offers))
      }
      state.loaded[plugin.libraryPath] = result
      return result
    }
    do throws(ScalingError) {
      return try library.get().component(component.manifest.kind, component.manifest.id)
    } catch {
      logger.warning("not using \(plugin.libraryPath): \(error.message)")
      throw ScalingError(
        .refused,
        "\(component.manifest.kind) '\(component.manifest.id)' is not usable: "
          + "\(plugin.libraryPath): \(error.message)")
    }
  }
}

extension InstalledPlugin {
  /// What it would offer, in the form that refusals remember.
  var offers: [String] { manifest.offers }
}

extension PluginManifest {
  var offers: [String] { components.map { "\($0.kind) \($0.id)" } }
}
