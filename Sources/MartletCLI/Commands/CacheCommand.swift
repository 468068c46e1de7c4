import ArgumentParser
import Foundation
import Martlet

/// `martlet cache …`.
struct CacheCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cache",
    abstract: "Shows or removes what is kept from earlier starts.",
    discussion: """
      Packed weights and measurements, and prompts in 'standard'; with --prefix-store the prompts in that \
      folder alone.
      """,
    subcommands: [ListCommand.self, ClearCommand.self])

  /// `martlet cache list`.
  struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Prints the packed models, or the prompts, that are kept.")

    @OptionGroup var cache: CacheOptions
    @OptionGroup var prefixes: PrefixOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
      if let path = try prefixes.folder() { return try listPrefixes(PrefixFolder(path: path)) }
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
      if let path = PrefixFolder.standardPath {
        print("\(path): \(PrefixFolder(path: path).byteCount) bytes of prompts")
      }
    }

    private func listPrefixes(_ folder: PrefixFolder) throws {
      let items = folder.items()
      if json { return try printJSON(items) }
      var table = Table(["prompt tokens", "kept here", "bytes", "last used", "of", "file"])
      let dates = ISO8601DateFormatter()
      for item in items {
        table.append([
          item.promptTokens.map(String.init) ?? "damaged", item.tokens.map(String.init) ?? "",
          String(item.bytes), dates.string(from: item.lastUsed), item.identity ?? "", item.path,
        ])
      }
      print(table.render())
      print("\(folder.path): \(folder.byteCount) bytes of prompts")
    }
  }

  /// `martlet cache clear`.
  struct ClearCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "clear",
      abstract: "Removes all packed models, measurements and prompts that are kept.")

    @OptionGroup var cache: CacheOptions
    @OptionGroup var prefixes: PrefixOptions

    func run() throws {
      if let path = try prefixes.folder() { return try clearPrefixes(path) }
      let path = try folder(cache)
      let bytes = try PackCacheFolder(path: path).clear()
      let records = TuningStore(path: path).clear()
      print("\(path): \(bytes) bytes of packed weights and \(records) measurements removed")
      // A folder of one's own holds its own prompts.
      if cache.packCache == nil, let prompts = PrefixFolder.standardPath {
        try clearPrefixes(prompts)
      }
    }

    private func clearPrefixes(_ path: String) throws {
      print("\(path): \(try PrefixFolder(path: path).clear()) bytes of prompts removed")
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
