import Foundation

/// Which Swift release this host was built with.
///
/// Swift has no stable ABI on Linux, so a Swift plugin must come from the same release. The host
/// knows its own only through compiler conditions, hence the list.
package enum SwiftRuntime {
  /// Major and minor release, such as `6.3`.
  package static let current: String = {
    #if compiler(>=6.6)
      "newer than 6.5"
    #elseif compiler(>=6.5)
      "6.5"
    #elseif compiler(>=6.4)
      "6.4"
    #elseif compiler(>=6.3)
      "6.3"
    #else
      "6.2"
    #endif
  }()

  /// What a manifest says of a plugin that was built and installed together with the host.
  static let bundled = "bundled"

  /// Whether this host uses the Swift runtime as a shared library. One that carries its own copy
  /// (`--static-swift-stdlib`) cannot share objects with a plugin, which brings another.
  static let isShared = dlopen("libswiftCore.so", RTLD_LAZY | RTLD_NOLOAD) != nil

  /// Why a manifest's `swift_runtime` does not fit this host; nil when it does.
  /// - Parameter isBundled: whether the plugin lies in one of the host's own folders.
  static func mismatch(_ stated: String, isBundled: Bool) -> String? {
    if !isShared {
      return "it is written in Swift and this host carries a Swift runtime of its own: build the "
        + "host without --static-swift-stdlib"
    }
    if stated == bundled {
      return isBundled
        ? nil
        : "its manifest says it was built together with the host, but it lies elsewhere: build it "
          + "with Swift \(current) and state \"swift_runtime\": \"\(current)\""
    }
    let release = stated.split(separator: ".").prefix(2).joined(separator: ".")
    return release == current
      ? nil : "it was built with Swift \(stated) and this host with Swift \(current)"
  }
}
