import Foundation
import Logging
import MartletKernels
import Synchronization

/// A fixed set of pinned threads that run one body together; the caller is worker 0.
///
/// A worker waits for work by spinning for some tens of microseconds and then parks; with more
/// workers than usable CPUs nobody spins at all. A worker whose core was taken by another process
/// holds nobody up: the caller runs the parts of workers that did not come, and fetches a worker
/// that was stopped in the middle of its part to its own CPU. A loop of empty parts costs about
/// 0.3 µs with two workers. Results never depend on which thread did a part.
///
/// Calls from several threads take turns. A call from inside a body runs its parts one after
/// another on the calling worker.
public final class ThreadTeam: ParallelFor {
  /// Workers, the caller included; at least 1.
  public let width: Int
  /// Where the workers are.
  public let plan: PlacementPlan

  private let core: TeamCore
  private let threads: [WorkerThread]
  /// Indices into `plan.nodes`.
  private let nodeOfWorker: [Int]

  /// How long an idle worker spins before it parks, in nanoseconds, unless told otherwise.
  public static let defaultSpin: UInt64 = 50_000

  /// Starts the workers of `plan`.
  ///
  /// - Parameters:
  ///   - spin: nanoseconds of spinning before parking; ignored (zero) when the plan puts more
  ///     workers than CPUs on the machine.
  ///   - logger: hears of refused pins.
  /// - Throws: `MachineError` `.threads` when the system refuses a thread.
  public init(
    plan: PlacementPlan, spin: UInt64 = ThreadTeam.defaultSpin,
    logger: Logger = Logger(label: "martlet.machine")
  ) throws(MachineError) {
    self.plan = plan
    width = plan.workers.count
    core = TeamCore(
      width: width, spin: plan.oversubscribed ? 0 : spin, cpus: plan.workers.map(\.cpu))
    var started: [WorkerThread] = []
    for (index, worker) in plan.workers.enumerated().dropFirst() {
      do throws(MachineError) {
        started.append(
          try WorkerThread(core: core, index: index, cpu: worker.cpu, logger: logger))
      } catch {
        core.stop()
        for thread in started { thread.join() }
        throw error
      }
    }
    threads = started
    core.threads = started
    nodeOfWorker = (0..<width).map(plan.node(of:))
  }

  /// A team of `threads` workers, or of as many as the machine calls for, on the current topology.
  /// - Throws: `MachineError` `.argument` for a bad count, `.topology`, `.threads`.
  public convenience init(threads: Int? = nil) throws(MachineError) {
    try self.init(plan: PlacementPlan(threads: threads, topology: Topology.current()))
  }

  deinit {
    core.stop()
    for thread in threads { thread.join() }
  }

  /// Calls `body` once for each worker index and returns when all calls have returned. Index i
  /// runs on worker i, or on the caller when worker i is late.
  public func run(_ body: @Sendable (_ worker: Int) -> Void) {
    if width == 1 || CurrentTeam.contains(core) {
      for worker in 0..<width { body(worker) }
      return
    }
    core.run(body)
  }

  /// Calls `body` with consecutive ranges that cover `0 ..< count`, each a multiple of `grain` long
  /// except the last. Workers take the next range when they finish one, so a slow core takes fewer.
  public func forEachChunk(
    count: Int, grain: Int = 1, _ body: @Sendable (_ range: Range<Int>) -> Void
  ) {
    precondition(count >= 0 && grain > 0, "count \(count), grain \(grain)")
    guard count > grain, width > 1 else {
      if count > 0 { body(0..<count) }
      return
    }
    let next = ChunkCounter()
    run { _ in
      while true {
        let begin = next.take(grain)
        guard begin < count else { return }
        body(begin..<min(count, begin + grain))
      }
    }
  }

  /// Calls `body` with consecutive ranges that cover a loop which is divided among the plan's nodes:
  /// node n has units `0 ..< count(n)` of its own. A node's workers take its units first and then,
  /// where `stealing`, those that other nodes have left.
  ///
  /// - Parameters:
  ///   - count: units of node `owner`, an index into `plan.nodes`; asked often, so make it cheap.
  ///   - grain: the length of every range but a node's last.
  ///   - body: told which node's units these are and at which node the worker runs.
  public func forEachOwnedChunk(
    grain: Int, stealing: Bool = true, count: @Sendable (_ owner: Int) -> Int,
    _ body: @Sendable (_ owner: Int, _ range: Range<Int>, _ reader: Int) -> Void
  ) {
    precondition(grain > 0, "grain \(grain)")
    let nodes = plan.nodes.count
    guard nodes > 1 else {
      return forEachChunk(count: count(0), grain: grain) { body(0, $0, 0) }
    }
    let counters = (0..<nodes).map { _ in PaddedAtomic(0) }
    let nodeOfWorker = nodeOfWorker
    run { worker in
      let reader = nodeOfWorker[worker]
      for turn in 0..<(stealing ? nodes : 1) {
        let owner = (reader + turn) % nodes
        let units = count(owner)
        while true {
          let begin = Int(
            counters[owner].value.wrappingAdd(UInt64(grain), ordering: .relaxed).oldValue)
          guard begin < units else { break }
          body(owner, begin..<min(units, begin + grain), reader)
        }
      }
    }
  }

  /// Pins the calling thread to worker 0's CPU. For a thread that drives this team and does
  /// nothing else; a refusal is logged.
  public func pinCaller(logger: Logger = Logger(label: "martlet.machine")) {
    if let cpu = plan.workers[0].cpu { pinCurrentThread(to: cpu, logger: logger) }
  }
}

/// Hands out the next part of a loop.
private final class ChunkCounter: Sendable {
  private let next = Atomic<Int>(0)

  func take(_ grain: Int) -> Int {
    next.wrappingAdd(grain, ordering: .relaxed).oldValue
  }
}

/// Which team the current thread is working for, so that a nested call is seen.
enum CurrentTeam {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    precondition(pthread_key_create(&key, nil) == 0, "no thread-specific storage left")
    return key
  }()

  static func contains(_ core: TeamCore) -> Bool {
    pthread_getspecific(key) == UnsafeMutableRawPointer(Unmanaged.passUnretained(core).toOpaque())
  }

  /// Sets `core` as the thread's team and returns what was there. Only compared, never followed.
  static func enter(_ core: TeamCore) -> UnsafeMutableRawPointer? {
    let previous = pthread_getspecific(key)
    pthread_setspecific(key, Unmanaged.passUnretained(core).toOpaque())
    return previous
  }

  static func leave(_ previous: UnsafeMutableRawPointer?) { pthread_setspecific(key, previous) }
}
