import CHwloc
import Foundation
import Logging
import Synchronization

/// One thread of a team.
///
/// `@unchecked Sendable`: the handle is written once, in `init`.
final class WorkerThread: @unchecked Sendable {
  /// Which worker it is.
  let index: Int
  private let handle: pthread_t
  /// The system's number of the thread; 0 until it runs.
  private let identifier: Identifier

  final class Identifier: Sendable {
    let value = Atomic<Int32>(0)
  }

  /// What a new thread is given; owned by the thread from its start.
  private final class Start {
    let core: TeamCore
    let index: Int
    let cpu: Int?
    let logger: Logger
    let identifier = Identifier()

    init(core: TeamCore, index: Int, cpu: Int?, logger: Logger) {
      self.core = core
      self.index = index
      self.cpu = cpu
      self.logger = logger
    }
  }

  init(core: TeamCore, index: Int, cpu: Int?, logger: Logger) throws(MachineError) {
    let given = Start(core: core, index: index, cpu: cpu, logger: logger)
    let start = Unmanaged.passRetained(given)
    self.index = index
    identifier = given.identifier
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        // Balances passRetained: the object lives until the thread's work is over.
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        nameCurrentThread("martlet-\(start.index)")
        start.identifier.value.store(martlet_thread_id(), ordering: .releasing)
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

  /// How long it has run, in nanoseconds; stands still while it waits for a CPU.
  func cpuNanoseconds() -> UInt64 {
    var clock = clockid_t()
    var time = timespec()
    guard pthread_getcpuclockid(handle, &clock) == 0, clock_gettime(clock, &time) == 0 else {
      return 0
    }
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }

  /// Binds it to `cpu`; false where it does not run yet or the system refuses. A thread that waits
  /// for another CPU goes on there at once.
  func move(to cpu: Int) -> Bool {
    let thread = identifier.value.load(ordering: .acquiring)
    return thread != 0 && (try? Affinity.set([cpu], thread: thread)) != nil
  }
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
