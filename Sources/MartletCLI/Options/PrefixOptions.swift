import ArgumentParser
import Martlet

/// Where prompts' keys and values are kept, as options of a command.
struct PrefixOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Keep the keys and values of prompts in this folder ('standard': martlet/prefixes in the user's \
      cache folder), so that a later prompt which begins alike is read from there. Prompts can be read \
      out of it. No text depends on it.
      """, valueName: "folder|standard"), transform: path)
  var prefixStore: String?

  /// The folder; nil where the option is not given.
  func folder() throws(CommandError) -> String? {
    guard prefixStore == "standard" else { return prefixStore }
    guard let path = PrefixFolder.standardPath else {
      throw CommandError(
        .unavailable, "neither XDG_CACHE_HOME nor HOME names a folder; give --prefix-store FOLDER")
    }
    return path
  }
}
