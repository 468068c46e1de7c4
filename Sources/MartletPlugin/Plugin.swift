public import CMartlet

/// What an entry function returns: the plugin's descriptor in its C form.
public typealias PluginDescriptor = UnsafePointer<martlet_plugin>

/// A plugin: its id, its version and its components.
///
/// Keep one in a global and return its descriptor from the entry function:
///
/// ```swift
/// import MartletPlugin
///
/// private let plugin = Plugin(id: "org.example.coin", version: "1.0.0", [.strategy(Coin.self)])
///
/// @c(martlet_plugin_entry)
/// public func entry(_ major: UInt32, _ minor: UInt32) -> PluginDescriptor? {
///   plugin.descriptor(major, minor)
/// }
/// ```
public final class Plugin: @unchecked Sendable {
  // Sendable: everything is made in `init` and never changed or freed afterwards.
  private let table: UnsafePointer<martlet_plugin>

  /// Lays out the descriptor tables of a plugin. They live as long as the process, which is how
  /// long the host keeps a plugin loaded.
  public init(id: String, version: String, _ components: [Component]) {
    let descriptors = components.map(DescribedComponent.allocate)
    let list = UnsafeMutablePointer<UnsafePointer<martlet_component>?>.allocate(
      capacity: max(1, descriptors.count))
    list.initialize(to: nil)
    for (index, descriptor) in descriptors.enumerated() {
      (list + index).initialize(to: descriptor)
    }
    let table = UnsafeMutablePointer<martlet_plugin>.allocate(capacity: 1)
    table.initialize(
      to: martlet_plugin(
        size: UInt32(MemoryLayout<martlet_plugin>.size),
        abi_major: UInt32(MARTLET_PLUGIN_ABI_MAJOR), abi_minor: UInt32(MARTLET_PLUGIN_ABI_MINOR),
        component_count: UInt32(descriptors.count), id: immortal(id), version: immortal(version),
        components: UnsafePointer(list)))
    self.table = UnsafePointer(table)
  }

  /// What the entry function returns: the descriptor, or null for a host of another major version
  /// or an older minor one.
  public func descriptor(_ major: UInt32, _ minor: UInt32) -> PluginDescriptor? {
    let serves =
      major == UInt32(MARTLET_PLUGIN_ABI_MAJOR) && minor >= UInt32(MARTLET_PLUGIN_ABI_MINOR)
    return serves ? table : nil
  }
}

/// A component's descriptor followed by the Swift side of it. The host hands the descriptor's
/// address back to `create`, which finds the Swift side behind it.
struct DescribedComponent {
  var descriptor: martlet_component
  var component: Component

  static func allocate(_ component: Component) -> UnsafePointer<martlet_component> {
    let memory = UnsafeMutablePointer<DescribedComponent>.allocate(capacity: 1)
    memory.initialize(
      to: DescribedComponent(
        descriptor: martlet_component(
          size: UInt32(MemoryLayout<martlet_component>.size), kind: component.kind.rawValue,
          flags: 0, reserved: 0, id: immortal(component.id),
          functions: componentFunctions(component.kind, component.scoresBranches)),
        component: component))
    // The descriptor is the first field, so both share one address.
    return UnsafeRawPointer(memory).assumingMemoryBound(to: martlet_component.self)
  }

  /// The Swift side of a descriptor that ``allocate(_:)`` made.
  static func component(of descriptor: UnsafePointer<martlet_component>) -> Component {
    UnsafeRawPointer(descriptor).assumingMemoryBound(to: DescribedComponent.self).pointee.component
  }
}

/// A NUL-terminated copy that is never freed: descriptor strings live as long as the process.
private func immortal(_ text: String) -> UnsafePointer<CChar> {
  let characters = text.utf8CString
  let copy = UnsafeMutablePointer<CChar>.allocate(capacity: characters.count)
  for (index, character) in characters.enumerated() { (copy + index).initialize(to: character) }
  return UnsafePointer(copy)
}
