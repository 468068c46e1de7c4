import CMartlet
import Foundation
import Martlet

/// Why a function of `engine.h` fails: the status it returns and the message the caller is given.
struct Failure: Error {
  let status: martlet_status
  let message: String

  init(_ status: martlet_status, _ message: String) {
    self.status = status
    self.message = message
  }

  /// Any error of the library, with the status that suits it.
  init(describing error: any Error) {
    switch error {
    case let error as Failure: self = error
    case let error as ScalingError: self.init(Self.status(error), error.message)
    case let error as EngineError: self.init(Self.status(error.code), error.message)
    case let error as ModelError:
      let status =
        switch error.code {
        case .file: MARTLET_E_FILE
        case .memory: MARTLET_E_MEMORY
        case .argument: MARTLET_E_ARGUMENT
        case .unsupported: MARTLET_E_UNSUPPORTED
        default: MARTLET_E_DATA
        }
      self.init(status, error.message)
    case let error as MachineError:
      let status =
        switch error.code {
        case .argument: MARTLET_E_ARGUMENT
        case .file: MARTLET_E_FILE
        case .memory: MARTLET_E_MEMORY
        case .topology, .threads: MARTLET_E_INTERNAL
        }
      self.init(status, error.message)
    case let error as KernelError:
      let status =
        switch error.code {
        case .argument: MARTLET_E_ARGUMENT
        case .memory: MARTLET_E_MEMORY
        default: MARTLET_E_UNSUPPORTED
        }
      self.init(status, error.message)
    default: self.init(MARTLET_E_INTERNAL, "\(error)")
    }
  }

  private static func status(_ error: ScalingError) -> martlet_status {
    switch error.code {
    // `manifest` is also what a JSON object of options is refused with.
    case .argument, .option, .budget, .manifest: MARTLET_E_ARGUMENT
    case .notFound: MARTLET_E_NOT_FOUND
    case .refused, .plugin: MARTLET_E_PLUGIN
    case .cancelled: MARTLET_E_CANCELLED
    case .file: MARTLET_E_FILE
    case .engine: error.engineCode.map(status) ?? MARTLET_E_INTERNAL
    }
  }

  private static func status(_ code: EngineError.Code) -> martlet_status {
    switch code {
    case .context: MARTLET_E_CONTEXT
    case .argument: MARTLET_E_ARGUMENT
    case .state: MARTLET_E_STATE
    case .released: MARTLET_E_HANDLE
    case .cancelled: MARTLET_E_CANCELLED
    case .budget: MARTLET_E_BUDGET
    case .memory: MARTLET_E_MEMORY
    case .file: MARTLET_E_FILE
    case .data, .unrecorded: MARTLET_E_DATA
    case .backend, .logits: MARTLET_E_INTERNAL
    }
  }
}

/// Where a caller wants a text, such as a message; null for nowhere.
public typealias TextSlot = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?

/// A copy of a text that the caller frees with `martlet_free`.
func callersCopy(_ text: String) throws -> UnsafeMutablePointer<CChar> {
  guard let copy = strdup(text) else {
    throw Failure(MARTLET_E_MEMORY, "no memory for \(text.utf8.count) bytes of text")
  }
  return copy
}

/// Does what a function of `engine.h` does, and turns what it throws into a status and a message.
/// - Parameter outputs: texts that are null unless it succeeds.
func answering(
  _ error: TextSlot, outputs: TextSlot..., by body: () throws -> Void
) -> martlet_status {
  error?.pointee = nil
  for output in outputs { output?.pointee = nil }
  do {
    try body()
    return MARTLET_OK
  } catch let thrown {
    let failure = Failure(describing: thrown)
    error?.pointee = strdup(failure.message)
    return failure.status
  }
}
