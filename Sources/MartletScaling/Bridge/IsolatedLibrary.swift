import CIsolation
import CMartlet
import Foundation

/// A plugin's library in processes of its own.
///
/// Its components have the functions of any other; each passes its calls on to a process and serves the
/// host functions that the plugin calls there, on the calling thread and by the same table. Nothing of
/// the plugin's code runs in this process.
final class IsolatedLibrary: ComponentSource, @unchecked Sendable {
  // Sendable: the C side locks what it changes, and the pointer is set once.
  private let plugin: OpaquePointer
  private let state = NSLock()
  private var known: [String: UnsafePointer<martlet_component>] = [:]

  /// - Throws: `refused` when there is no program to run it in.
  /// - Parameter sealed: what is loaded in place of the file.
  init(
    _ installed: InstalledPlugin, _ isolation: PluginIsolation, sealed: SealedLibrary? = nil
  ) throws(ScalingError) {
    let helper = try isolation.checkedHelper()
    let readable = SwiftRuntime.folder.map { $0 + "\0" } ?? ""
    var permissions: UInt32 = 0
    for permission in installed.manifest.permissions { permissions |= permission.bit }
    let opened = readable.withCString { readableStart in
      helper.withCString { helper in
        installed.libraryPath.withCString { library in
          installed.manifest.id.withCString { id in
            installed.manifest.version.withCString { version in
              var options = martlet_isolated_options()
              options.helper = helper
              options.library = library
              options.library_file = sealed?.descriptor ?? 0
              options.plugin_id = id
              options.version = version
              options.readable = readableStart
              options.readable_length = readable.utf8.count
              options.permissions = permissions
              options.allow_unconfined = isolation.allowsUnconfined ? 1 : 0
              options.memory_bytes = UInt64(clamping: isolation.memoryBytes)
              options.stall_seconds = isolation.stallSeconds
              options.idle_processes = UInt32(clamping: isolation.idleProcesses)
              options.missing = isolation.missingFeatures
              options.abandoned = { handle in ScopeTable[handle]?.run?.isAbandoned == true ? 1 : 0 }
              return martlet_isolated_open(&options)
            }
          }
        }
      }
    }
    guard let opened else {
      throw ScalingError(.refused, "memory for an isolated plugin is short")
    }
    plugin = opened
  }

  deinit { martlet_isolated_close(plugin) }

  func component(_ kind: ComponentKind, _ id: String) throws(ScalingError) -> LoadedComponent {
    let key = "\(kind) \(id)"
    if let descriptor = state.withLock({ known[key] }) { return loaded(descriptor, kind, id) }
    var found: UnsafePointer<martlet_component>?
    var message = [CChar](repeating: 0, count: 1024)
    let status = martlet_isolated_component(
      plugin, kind.rawABIValue, id, &found, &message, message.count)
    guard status == MARTLET_OK, let found else {
      let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      throw ScalingError(.refused, String(decoding: text, as: UTF8.self))
    }
    state.withLock { known[key] = found }
    return loaded(found, kind, id)
  }

  /// The component with what keeps its descriptor alive.
  private func loaded(
    _ descriptor: UnsafePointer<martlet_component>, _ kind: ComponentKind, _ id: String
  ) -> LoadedComponent {
    // The C side gives every descriptor its functions.
    LoadedComponent(
      descriptor: descriptor, functions: descriptor.pointee.functions!, kind: kind, id: id,
      owner: self)
  }
}

extension SwiftRuntime {
  /// The folder of the Swift runtime that this process uses, which Swift plugins read too.
  static let folder: String? = {
    guard let name = martlet_isolated_image("swift_retain") else { return nil }
    return URL(fileURLWithPath: String(cString: name)).resolvingSymlinksInPath()
      .deletingLastPathComponent().path
  }()
}
