/// What ends a command, as a sentence for standard error and an exit code.
///
/// Codes follow sysexits.h, so that scripts can tell a mistyped option from a broken file.
struct CommandError: Error, CustomStringConvertible {
  enum Code: Int32 {
    /// The command line is wrong: an unknown option, strategy or value.
    case usage = 64
    /// A file was read and is not valid: a model, a plugin, a manifest.
    case data = 65
    /// A named file or folder cannot be opened.
    case input = 66
    /// Something needed is not here: a plugin, a CPU feature, memory.
    case unavailable = 69
    /// A fault inside Martlet. Please report it.
    case software = 70
    /// A result cannot be written.
    case output = 73
  }

  let code: Code
  let description: String

  init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }
}
