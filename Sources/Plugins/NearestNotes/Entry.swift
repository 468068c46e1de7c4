import MartletPlugin

private let plugin = Plugin(id: "nearest-notes", version: "0.1.0", [.memory(NearestNotes.self)])

/// What the host calls after loading the library.
@c(martlet_plugin_entry)
public func entry(_ major: UInt32, _ minor: UInt32) -> PluginDescriptor? {
  plugin.descriptor(major, minor)
}
