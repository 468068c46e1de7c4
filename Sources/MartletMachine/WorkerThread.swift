import CHwloc
import Foundation
import Logging

/// One thread of a team.
///
/// `@unchecked Sendable`: the handle is written once, in `init`.
final class WorkerThread: @unchecked Sendable {
  private let handle: pthread_t

  /// What a new thread is given; owned by the thread from its start.
  private final class Start {
    let core: TeamCore
    let index: Int
    let cpu: Int?
    let logger: Logger

    init(core: TeamCore, index: Int, cpu: Int?, logger: Logger) {
      self.core = core
      self.index = index
      self.cpu = cpu
      self.logger = logger
    }
  }

  init(core: TeamCore, index: Int, cpu: Int?, logger: Logger) throws(MachineError) {
    let start = Unmanaged.passRetained(
      Start(core: core, index: index, cpu: cpu, logger: logger))
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        // Balances passRetained: the object lives until the thread's work is over.
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        nameCurrentThread("martlet-\(start.index)")
        if let cpu = start.cpu { pinCurrentThread(to: cpu, logger: start.logger) }
        start.core.serve(start.index)
        return nil
      }, start.toOpaque())
    guard status == 0 else {
      start.release()
      throw MachineError(
        .threads,
        "cannot start worker \(index): \(String(cString: strerror(status))); use fewer threads")
    }
    handle = thread
  }

  func join() { pthread_join(handle, nil) }
}

/// Shows `name` (at most 15 bytes) in debuggers and `top -H`.
func nameCurrentThread(_ name: String) {
  pthread_setname_np(pthread_self(), String(name.prefix(15)))
}

/// Binds the calling thread to one CPU. Containers may refuse; that costs speed, not results, so it
/// is a warning.
func pinCurrentThread(to cpu: Int, logger: Logger) {
  do throws(MachineError) {
    try Affinity.set([cpu])
  } catch {
    logger.warning("a thread could not be pinned: \(error.message)")
  }
}
