import CMartlet
import Foundation
import MartletEngine

/// Why a host function fails: the status it returns and the text that `last_error` gives.
struct HostFailure: Error {
  let status: martlet_status
  let message: String
  /// Whether the call came from a thread that must not make it.
  var isWrongThread = false
  /// Whether a careful caller runs into it too: to find that nothing is left to wait for is one way to
  /// end a loop.
  var isOrdinary = false

  init(_ status: martlet_status, _ message: String) {
    self.status = status
    self.message = message
  }

  static var wrongThread: HostFailure {
    var failure = HostFailure(
      MARTLET_E_STATE, "this function may be called only on the thread that 'run' was called on")
    failure.isWrongThread = true
    return failure
  }

  static var nothingSubmitted: HostFailure {
    var failure = HostFailure(MARTLET_E_STATE, "no submitted branch is left to wait for")
    failure.isOrdinary = true
    return failure
  }

  init(_ error: EngineError) {
    status =
      switch error.code {
      case .context: MARTLET_E_CONTEXT
      case .argument: MARTLET_E_ARGUMENT
      case .state: MARTLET_E_STATE
      case .released: MARTLET_E_HANDLE
      case .cancelled: MARTLET_E_CANCELLED
      case .backend, .logits, .file, .data, .unrecorded: MARTLET_E_INTERNAL
      case .memory: MARTLET_E_MEMORY
      case .budget: MARTLET_E_BUDGET
      }
    message = error.message
  }
}

/// The message of the last host function that failed, per thread.
///
/// Threads belong to plugins and may be made by anything, so the text hangs on a POSIX thread key
/// whose destructor frees it when the thread ends.
enum LastError {
  private final class Box {
    var text = ""
  }

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    let status = pthread_key_create(&key) { pointer in
      // The reference that `text`'s setter retained.
      pointer.map { Unmanaged<Box>.fromOpaque($0).release() }
    }
    precondition(status == 0, "this process has no thread key left")
    return key
  }()

  static var text: String {
    get {
      pthread_getspecific(key).map { Unmanaged<Box>.fromOpaque($0).takeUnretainedValue().text }
        ?? ""
    }
    set {
      if let pointer = pthread_getspecific(key) {
        Unmanaged<Box>.fromOpaque(pointer).takeUnretainedValue().text = newValue
        return
      }
      let box = Box()
      box.text = newValue
      pthread_setspecific(key, Unmanaged.passRetained(box).toOpaque())
    }
  }
}
