import MartletPlugin

private let plugin = Plugin(id: "hogwild", version: "0.1.0", [.strategy(Hogwild.self)])

/// What the host calls after loading the library.
@c(martlet_plugin_entry)
public func entry(_ major: UInt32, _ minor: UInt32) -> PluginDescriptor? {
  plugin.descriptor(major, minor)
}
