import CMartlet
import Foundation

/// A component of a loaded library: its descriptor and its functions, checked.
struct LoadedComponent: @unchecked Sendable {
  // Sendable: descriptors are static and immutable for the life of the process, which the plugin
  // interface demands and which holds because libraries are never unloaded.
  let descriptor: UnsafePointer<martlet_component>
  let functions: UnsafeRawPointer
  let kind: ComponentKind
  let id: String
  /// What must live as long as the component is used; nil for a library of this process.
  var owner: (any Sendable & AnyObject)?

  /// Whether calls to one instance must not overlap.
  var isSerial: Bool { descriptor.pointee.flags & serialFlag != 0 }
}

/// `MARTLET_COMPONENT_SERIAL` of `plugin.h`; an anonymous C enum imports with an awkward type.
private let serialFlag = UInt32(MARTLET_COMPONENT_SERIAL)

/// Where components come from: a library of this process or of another.
protocol ComponentSource: AnyObject, Sendable {
  /// The component of a kind with an id.
  /// - Throws: `refused` with the reason.
  func component(_ kind: ComponentKind, _ id: String) throws(ScalingError) -> LoadedComponent
}

/// A plugin's library in this process. It is never unloaded, so pointers into it stay valid.
///
/// Everything that the library returns is checked against the interface and against the manifest
/// before it is used: sizes first, so that nothing past a short struct is read.
final class PluginLibrary: ComponentSource {
  private let components: [LoadedComponent]

  /// Loads a library and checks its descriptor.
  /// - Throws: `refused` with the reason.
  init(path: String, manifest: PluginManifest) throws(ScalingError) {
    guard let image = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw ScalingError(
        .refused, "it does not load: \(dlerror().map { String(cString: $0) } ?? "")")
    }
    guard let symbol = dlsym(image, MARTLET_PLUGIN_ENTRY_SYMBOL) else {
      throw ScalingError(.refused, "it does not export '\(MARTLET_PLUGIN_ENTRY_SYMBOL)'")
    }
    // dlsym cannot know the type; the interface fixes it for this symbol.
    typealias Entry = @convention(c) (UInt32, UInt32) -> UnsafePointer<martlet_plugin>?
    let entry = unsafeBitCast(symbol, to: Entry.self)
    let (major, minor) = (UInt32(MARTLET_PLUGIN_ABI_MAJOR), UInt32(MARTLET_PLUGIN_ABI_MINOR))
    guard let plugin = entry(major, minor) else {
      throw ScalingError(
        .refused, "its entry function says that it cannot serve plugin interface \(major).\(minor)")
    }
    try Self.checkSize("martlet_plugin", plugin.pointee.size, of: martlet_plugin.self)
    if plugin.pointee.abi_major != major || plugin.pointee.abi_minor > minor {
      throw ScalingError(
        .refused,
        "its library was built for plugin interface \(plugin.pointee.abi_major)."
          + "\(plugin.pointee.abi_minor) and this host serves \(major).\(minor): build it again with the "
          + "plugin.h of this release")
    }
    try Self.checkText("plugin id", plugin.pointee.id, is: manifest.id)
    try Self.checkText("plugin version", plugin.pointee.version, is: manifest.version)
    components = try Self.components(of: plugin, manifest: manifest)
  }

  /// The component of a kind with an id; the manifest's are all there.
  func component(_ kind: ComponentKind, _ id: String) throws(ScalingError) -> LoadedComponent {
    guard let component = components.first(where: { $0.kind == kind && $0.id == id }) else {
      throw ScalingError(.refused, "its library has no \(kind) '\(id)'")
    }
    return component
  }

  private static func components(
    of plugin: UnsafePointer<martlet_plugin>, manifest: PluginManifest
  ) throws(ScalingError) -> [LoadedComponent] {
    let count = Int(plugin.pointee.component_count)
    guard count == manifest.components.count else {
      throw ScalingError(
        .refused,
        "its library has \(count) components and its manifest \(manifest.components.count)")
    }
    guard let list = plugin.pointee.components else {
      throw ScalingError(.refused, "its list of components is null")
    }
    var components: [LoadedComponent] = []
    for index in 0..<count {
      guard let descriptor = list[index] else {
        throw ScalingError(.refused, "component \(index) of its list is null")
      }
      let component = try Self.component(descriptor, index: index)
      guard
        manifest.components.contains(where: { $0.kind == component.kind && $0.id == component.id })
      else {
        throw ScalingError(
          .refused, "its manifest does not mention its \(component.kind) '\(component.id)'")
      }
      if components.contains(where: { $0.kind == component.kind && $0.id == component.id }) {
        throw ScalingError(.refused, "it has two of \(component.kind) '\(component.id)'")
      }
      components.append(component)
    }
    return components
  }

  private static func component(
    _ descriptor: UnsafePointer<martlet_component>, index: Int
  ) throws(ScalingError) -> LoadedComponent {
    try checkSize("martlet_component", descriptor.pointee.size, of: martlet_component.self)
    let number = descriptor.pointee.kind
    guard let kind = ComponentKind.allCases.first(where: { $0.rawABIValue == number }) else {
      throw ScalingError(.refused, "component \(index) has kind \(number), which is not served")
    }
    guard let characters = descriptor.pointee.id, let id = String(validatingCString: characters)
    else {
      throw ScalingError(.refused, "the id of component \(index) is null or not UTF-8")
    }
    guard let functions = descriptor.pointee.functions else {
      throw ScalingError(.refused, "the functions of '\(id)' are null")
    }
    try checkFunctions(functions, kind: kind, id: id)
    return LoadedComponent(descriptor: descriptor, functions: functions, kind: kind, id: id)
  }

  /// Each table begins with its size, so its first four bytes may be read before anything else.
  private static func checkFunctions(
    _ functions: UnsafeRawPointer, kind: ComponentKind, id: String
  ) throws(ScalingError) {
    let size = functions.load(as: UInt32.self)
    let missing: Bool
    switch kind {
    case .strategy:
      try checkSize("martlet_strategy of '\(id)'", size, of: martlet_strategy.self)
      let table = functions.load(as: martlet_strategy.self)
      missing = table.create == nil || table.run == nil || table.destroy == nil
    case .scorer:
      try checkSize("martlet_scorer of '\(id)'", size, of: martlet_scorer.self)
      let table = functions.load(as: martlet_scorer.self)
      missing = table.create == nil || table.score == nil || table.destroy == nil
    case .extractor:
      try checkSize("martlet_extractor of '\(id)'", size, of: martlet_extractor.self)
      let table = functions.load(as: martlet_extractor.self)
      missing = table.create == nil || table.extract == nil || table.destroy == nil
    case .drafter:
      try checkSize("martlet_drafter of '\(id)'", size, of: martlet_drafter.self)
      let table = functions.load(as: martlet_drafter.self)
      missing = table.create == nil || table.propose == nil || table.destroy == nil
    case .sampler:
      try checkSize("martlet_sampler of '\(id)'", size, of: martlet_sampler.self)
      let table = functions.load(as: martlet_sampler.self)
      missing = table.create == nil || table.process == nil || table.destroy == nil
    case .memory:
      try checkSize("martlet_memory of '\(id)'", size, of: martlet_memory.self)
      let table = functions.load(as: martlet_memory.self)
      missing =
        table.create == nil || table.store == nil || table.destroy == nil || table.recall == nil
        || table.read == nil
    }
    if missing { throw ScalingError(.refused, "a function of \(kind) '\(id)' is null") }
  }

  /// A struct of this version has exactly the size this host knows: an older minor version's would
  /// be listed here by its frozen size, and a newer one was refused by its version.
  private static func checkSize<Struct>(
    _ name: String, _ size: UInt32, of type: Struct.Type
  ) throws(ScalingError) {
    let known = MemoryLayout<Struct>.size
    guard Int(size) == known else {
      throw ScalingError(.refused, "its \(name) states size \(size), but the struct has \(known)")
    }
  }

  private static func checkText(
    _ name: String, _ characters: UnsafePointer<CChar>?, is expected: String
  ) throws(ScalingError) {
    guard let characters, let text = String(validatingCString: characters) else {
      throw ScalingError(.refused, "its \(name) is null or not UTF-8")
    }
    guard text == expected else {
      throw ScalingError(
        .refused, "its library states \(name) '\(text)' and its manifest '\(expected)'")
    }
  }
}
