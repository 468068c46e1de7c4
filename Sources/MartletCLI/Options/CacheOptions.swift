import ArgumentParser
import Martlet

/// Where packed weights and measurements are kept, as options of a command.
struct CacheOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Where packed weights are kept between starts: a folder, 'beside' (the model's folder) or \
      'off'. Default: martlet in $XDG_CACHE_HOME, else in ~/.cache.
      """,
      valueName: "folder|beside|off"))
  var packCache: String?

  /// The option in the library's form.
  func location() throws(CommandError) -> PackCacheOptions {
    guard let packCache else { return .standard }
    guard !packCache.isEmpty else {
      throw CommandError(.usage, "--pack-cache is empty; give a folder, 'beside' or 'off'")
    }
    return PackCacheOptions(parsing: packCache)
  }
}
