import Martlet
import MartletLab

/// What ends a command, as a sentence for standard error and an exit code.
///
/// Codes follow sysexits.h, so that scripts can tell a mistyped option from a broken file.
struct CommandError: Error, CustomStringConvertible {
  enum Code: Int32 {
    /// The command line is wrong: an unknown option, strategy or value.
    case usage = 64
    /// A file was read and is not valid: a model, a plugin, a manifest.
    case data = 65
    /// A named file or folder, or standard input, cannot be read.
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

extension CommandError {
  /// Any error of the library or of Foundation, with the code that suits it.
  init(describing error: any Error) {
    switch error {
    case let error as CommandError: self = error
    case let error as ModelError:
      let code: Code =
        switch error.code {
        case .file: .input
        case .memory: .unavailable
        case .argument: .usage
        default: .data
        }
      self.init(code, error.message)
    case let error as ScalingError:
      let code: Code =
        switch error.code {
        case .argument, .notFound, .option, .budget: .usage
        case .engine: error.engineCode.map(Code.init(of:)) ?? .software
        case .manifest, .refused: .data
        case .plugin, .cancelled: .unavailable
        case .file: .output
        }
      self.init(code, error.message)
    case let error as EngineError: self.init(Code(of: error.code), error.message)
    case let error as LabError:
      let code: Code =
        switch error.code {
        case .argument: .usage
        case .data: .data
        case .input: .input
        case .output: .output
        case .unavailable: .unavailable
        }
      self.init(code, error.message)
    case let error as KernelError:
      self.init(error.code == .argument ? .usage : .unavailable, error.message)
    case let error as MachineError:
      let code: Code =
        switch error.code {
        case .argument: .usage
        case .file: .input
        default: .unavailable
        }
      self.init(code, error.message)
    default: self.init(.software, "\(error)")
    }
  }
}

extension CommandError.Code {
  /// The code that suits an error of the engine, whether or not it ended a run.
  init(of code: EngineError.Code) {
    self =
      switch code {
      case .context, .argument, .budget: .usage
      case .logits, .data, .unrecorded: .data
      case .file: .input
      case .memory, .cancelled: .unavailable
      case .backend, .state, .released: .software
      }
  }
}
