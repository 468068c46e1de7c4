import ArgumentParser
import Foundation
import Martlet

/// `martlet plugin …`.
struct PluginCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plugin", abstract: "Lists, begins, checks and pins plugins.",
    subcommands: [
      PluginListCommand.self, PluginNewCommand.self, PluginCheckCommand.self,
      PluginTrustCommand.self,
    ])
}

/// Where plugins are looked for, as an option of a command.
struct PluginFolders: ParsableArguments {
  @Option(
    name: .customLong("plugin-dir"), help: "A further folder with plugins. Repeatable.",
    transform: path)
  var directories: [String] = []

  /// The folders named, which are there.
  func checkedDirectories() throws(CommandError) -> [String] {
    for directory in directories {
      var isFolder: ObjCBool = false
      let exists = FileManager.default.fileExists(atPath: directory, isDirectory: &isFolder)
      if !exists || !isFolder.boolValue {
        throw CommandError(
          .input,
          "--plugin-dir \(directory): "
            + (exists ? "is a file; name the folder it is in" : "there is no such folder"))
      }
    }
    return directories
  }
}

/// Where plugins are looked for and how they run, as options of a command that runs them.
struct PluginOptions: ParsableArguments {
  @OptionGroup var folders: PluginFolders

  @Flag(
    help: """
      Run plugins in processes of their own: one that crashes or hangs ends its run alone, and each \
      may do only what its manifest asks for.
      """)
  var isolate = false

  @Flag(
    help: "With --isolate: go on where the kernel cannot hold plugins to their permissions.")
  var unconfined = false

  /// How plugins are isolated; nil where they run in this process.
  func isolation() throws(CommandError) -> PluginIsolation? {
    guard isolate else {
      if unconfined {
        throw CommandError(.usage, "--unconfined does nothing without --isolate; add it")
      }
      return nil
    }
    var isolation = PluginIsolation()
    isolation.allowsUnconfined = unconfined
    return isolation
  }

  /// The folders named, which are there.
  func checkedDirectories() throws(CommandError) -> [String] { try folders.checkedDirectories() }
}

/// `martlet plugin list`.
struct PluginListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Lists strategies, scorers and extractors.",
    discussion: "With --verbose, also where plugins were looked for and what was refused, and why.")

  @OptionGroup var plugins: PluginFolders

  @Flag(help: "Print JSON: [{id, kind, version, path, paper}].")
  var json = false

  @Flag(help: "Also print options, searched folders and refusals.")
  var verbose = false

  private struct Row: Encodable {
    let id, kind, version, path, paper: String
  }

  func run() throws {
    let searchPath = try PluginSearchPath.standard(directories: plugins.checkedDirectories())
    let host = PluginHost(searchPath: searchPath)
    let rows = host.components.map { component in
      Row(
        id: component.manifest.id, kind: component.manifest.kind.rawValue,
        version: component.version, path: component.path, paper: component.manifest.paper)
    }
    if json { return try printJSON(rows) }

    var table = Table(["id", "kind", "version", "summary"])
    for component in host.components {
      table.append([
        component.manifest.id, component.manifest.kind.rawValue, component.version,
        component.manifest.summary,
      ])
    }
    print(table.render())
    guard verbose else { return }
    for plugin in host.plugins where !plugin.manifest.permissions.isEmpty {
      let permissions = plugin.manifest.permissions.map(\.rawValue).joined(separator: ", ")
      print("\n\(plugin.manifest.id) asks for: \(permissions)")
    }
    for component in host.components where !component.manifest.options.isEmpty {
      print("\nOptions of \(component.manifest.id) (\(component.path))")
      for option in component.manifest.options {
        print("  \(option.name)=\(option.defaultValue) \(option.unit)  \(option.summary)")
      }
    }
    print("\nSearched, first to last:")
    for folder in searchPath.folders { print("  \(folder.path)") }
    for refusal in host.refusals { print("Refused: \(refusal)") }
  }
}
