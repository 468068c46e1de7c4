import Foundation
import MartletScaling

/// What a plugin is built against: a folder with `include/martlet/plugin.h` and a Swift package with the
/// product `MartletPlugin`, as a checkout of Martlet has them and an installation.
struct PluginKit {
  let folder: String
  /// The version of the plugin interface in its header.
  let major: Int
  let minor: Int

  /// - Parameter named: what the user named; nil for the one that belongs to this tool.
  init(_ named: String?) throws(CommandError) {
    guard let folder = named ?? Self.own() else {
      throw CommandError(
        .unavailable,
        "the plugin author kit is not beside this tool; name a checkout of Martlet, or "
          + "lib/martlet/plugin-kit of an installation, with --kit")
    }
    guard Self.isKit(folder) else {
      throw CommandError(
        .input,
        "--kit \(folder): it holds no include/martlet/plugin.h beside a Package.swift; name a "
          + "checkout of Martlet, or lib/martlet/plugin-kit of an installation")
    }
    self.folder = URL(fileURLWithPath: folder).standardizedFileURL.path
    let header = try Self.header("plugin.h", in: folder)
    major = try Self.number("MARTLET_PLUGIN_ABI_MAJOR", in: header)
    minor = try Self.number("MARTLET_PLUGIN_ABI_MINOR", in: header)
  }

  /// A header that a plugin in C needs.
  func header(_ name: String) throws(CommandError) -> String {
    try Self.header(name, in: folder)
  }

  private static func header(_ name: String, in folder: String) throws(CommandError) -> String {
    let path = "\(folder)/include/martlet/\(name)"
    guard let text = String(validating: try readBytes(of: path), as: UTF8.self) else {
      throw CommandError(.data, "\(path): the header is not UTF-8")
    }
    return text
  }

  /// The value of a macro.
  private static func number(_ macro: String, in header: String) throws(CommandError) -> Int {
    for line in header.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count >= 3, words[0] == "#define", words[1] == macro, let value = Int(words[2]) {
        return value
      }
    }
    throw CommandError(.data, "plugin.h of the author kit does not define \(macro)")
  }

  private static func isKit(_ folder: String) -> Bool {
    ["Package.swift", "include/martlet/plugin.h", "include/martlet/common.h"].allSatisfy {
      FileManager.default.fileExists(atPath: "\(folder)/\($0)")
    }
  }

  /// Of the installation that this tool is in, else of the checkout that it was built in.
  private static func own() -> String? {
    let installed = Installation.supportFolders.map { "\($0)/plugin-kit" }
    var above: [String] = []
    var folder = Installation.folder(of: PluginSearchPath.currentExecutable)
    while folder != "/" {
      folder = URL(fileURLWithPath: folder).deletingLastPathComponent().path
      above.append(folder)
    }
    return (installed + above).first(where: isKit)
  }
}
