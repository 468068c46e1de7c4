import ArgumentParser
import Martlet

/// What keys and values may take and where they lie, as options of a command.
struct MemoryOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      The most bytes that all keys and values may take, such as 4G or 512M (powers of 1024). A context \
      that does not fit is an error that says what it needs. Default: half of the memory.
      """, valueName: "bytes"), transform: byteCount)
  var kvBytes: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      The most tokens of a sequence, prompt included; refused at once if --kv-bytes cannot hold them. \
      Default: what the model can.
      """, valueName: "tokens"))
  var context: Int?

  @Option(
    help: ArgumentHelp(
      """
      Keep keys and values in a file in place of memory, of which they may be more than there is: a \
      folder, or a file that does not exist yet. --kv-bytes are reserved there at once. No text depends \
      on it.
      """, valueName: "folder|file"), transform: path)
  var kvFile: String?

  func apply(to configuration: inout Session.Configuration) {
    if let kvBytes { configuration.engine.kvBytesLimit = kvBytes }
    configuration.engine.contextLength = context
    configuration.kvFile = kvFile
  }
}
