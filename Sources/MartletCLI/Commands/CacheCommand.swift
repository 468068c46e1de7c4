import ArgumentParser
import Foundation
import Martlet

/// `martlet cache …`.
struct CacheCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cache",
    abstract: "Shows or removes packed weights and measurements kept from earlier starts.",
    subcommands: [ListCommand.self, ClearCommand.self])

  /// `martlet cache list`.
  struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Prints the packed models that are kept.")

    @OptionGroup var cache: CacheOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
      let items = PackCacheFolder(path: try folder(cache)).items()
      if json { return try printJSON(items) }
      var table = Table(["model", "bytes", "class", "layout", "last used", "packed from", "file"])
      let dates = ISO8601DateFormatter()
      for item in items {
        table.append([
          item.model ?? "damaged", String(item.bytes), item.numericClass ?? "", item.layout ?? "",
          dates.string(from: item.lastUsed), item.source ?? "", item.path,
        ])
      }
      print(table.render())
    }
  }

  /// `martlet cache clear`.
  struct ClearCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "clear", abstract: "Removes all packed models and measurements that are kept.")

    @OptionGroup var cache: CacheOptions

    func run() throws {
      let path = try folder(cache)
      let bytes = try PackCacheFolder(path: path).clear()
      let records = TuningStore(path: path).clear()
      print("\(path): \(bytes) bytes of packed weights and \(records) measurements removed")
    }
  }

  /// The folder that the options name.
  private static func folder(_ options: CacheOptions) throws(CommandError) -> String {
    switch try options.location().location {
    case .folder(let path): return path
    case .standard:
      if let path = CacheFolder.standard() { return path }
      throw CommandError(
        .unavailable, "neither XDG_CACHE_HOME nor HOME names a folder; give --pack-cache FOLDER")
    case .off, .beside:
      throw CommandError(.usage, "--pack-cache must name a folder here")
    }
  }
}
