import CHwloc
import Foundation
import Synchronization

/// The shared state of a team: one job at a time, claimed part by part.
///
/// A job has a generation g and one part per worker. Part i is claimed by moving `claims[i]` from
/// g − 1 to g, which happens once; whoever did it runs the part and then counts it as done. Worker
/// i claims part i alone; the caller claims part 0 and, when done with it, every part that nobody
/// has claimed yet. A worker that wakes late finds its part taken and goes back to sleep. The
/// caller leaves when all parts are done, so a job's body lives exactly as long as a claimed part.
///
/// `@unchecked Sendable`: `body` is written by the caller between jobs only, published by the store
/// to `generation` and read only between a successful claim and its completion.
final class TeamCore: @unchecked Sendable {
  typealias Body = @Sendable (Int) -> Void

  private let width: Int
  private let spin: UInt64
  /// Callers from different threads take turns; whose turn it is minds the crowd.
  private let turn = Mutex(Contention())
  private let body: UnsafeMutablePointer<Body?>
  private let claims: [PaddedAtomic]
  private let generation = PaddedAtomic(0)
  private let done = PaddedAtomic(0)
  private let stopped = Atomic<Bool>(false)
  private let workBell = ParkingLot()
  private let doneBell = ParkingLot()

  init(width: Int, spin: UInt64) {
    self.width = width
    self.spin = spin
    claims = (0..<width).map { _ in PaddedAtomic(0) }
    // A plain memory cell: every worker reads it at once, which a class property's exclusivity
    // checks would make slow.
    body = .allocate(capacity: 1)
    body.initialize(to: nil)
  }

  deinit {
    body.deinitialize(count: 1)
    body.deallocate()
  }

  /// Runs all parts of a job; called by the thread that becomes worker 0.
  func run(_ job: Body) {
    turn.withLock { contention in
      let previous = CurrentTeam.enter(self)
      defer { CurrentTeam.leave(previous) }
      let begin = monotonicNanoseconds()
      if contention.isSolo(at: begin) {
        for part in 0..<width { job(part) }
        return
      }
      withoutActuallyEscaping(job) { job in
        body.pointee = job
        let worked = runPublished()
        body.pointee = nil
        contention.record(begin: begin, worked: worked, end: monotonicNanoseconds())
      }
    }
  }

  /// Runs the published job to its end and returns when the caller had nothing left to do.
  private func runPublished() -> UInt64 {
    done.value.store(0, ordering: .relaxed)
    let current = generation.value.load(ordering: .relaxed) + 1
    generation.value.store(current, ordering: .sequentiallyConsistent)
    workBell.wakeAll()

    for part in 0..<width where claim(part, current) {
      perform(part)
      _ = done.value.wrappingAdd(1, ordering: .acquiringAndReleasing)
    }
    let worked = monotonicNanoseconds()
    wait(on: doneBell) { done.value.load(ordering: .sequentiallyConsistent) == UInt64(width) }
    return worked
  }

  /// The life of worker `index` until the team ends.
  func serve(_ index: Int) {
    _ = CurrentTeam.enter(self)
    var seen: UInt64 = 0
    while true {
      wait(on: workBell) {
        generation.value.load(ordering: .sequentiallyConsistent) != seen
          || stopped.load(ordering: .sequentiallyConsistent)
      }
      if stopped.load(ordering: .sequentiallyConsistent) { return }
      seen = generation.value.load(ordering: .acquiring)
      guard claim(index, seen) else { continue }
      perform(index)
      let finished = done.value.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
      if finished == UInt64(width) { doneBell.wakeAll() }
    }
  }

  func stop() {
    stopped.store(true, ordering: .sequentiallyConsistent)
    workBell.wakeAll()
  }

  private func claim(_ part: Int, _ current: UInt64) -> Bool {
    claims[part].value.compareExchange(
      expected: current - 1, desired: current, ordering: .acquiringAndReleasing
    ).exchanged
  }

  /// Runs one claimed part. Never inlined: the reference to the body that it takes must be gone
  /// before the part counts as done, because the body dies with the job.
  @inline(never)
  private func perform(_ part: Int) {
    body.pointee?(part)
  }

  /// Spins for the team's budget, then parks, until `condition` holds.
  @inline(__always)
  private func wait(on bell: ParkingLot, until condition: () -> Bool) {
    if condition() { return }
    if spin > 0 {
      let end = monotonicNanoseconds() + spin
      repeat {
        for _ in 0..<16 {
          martlet_spin_pause()
          if condition() { return }
        }
      } while monotonicNanoseconds() < end
    }
    bell.park(until: condition)
  }
}

/// A counter on a cache line of its own, so that one worker's polling does not slow another's.
final class PaddedAtomic: Sendable {
  private typealias Line = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
  private let before: Line = (0, 0, 0, 0, 0, 0, 0, 0)
  let value: Atomic<UInt64>
  private let after: Line = (0, 0, 0, 0, 0, 0, 0, 0)

  init(_ value: UInt64) { self.value = Atomic(value) }
}

/// Where threads sleep until a condition that others change holds.
///
/// No wake-up is lost: a sleeper announces itself and then looks at the condition once more; a
/// waker changes the condition and then looks for sleepers; both in one total order.
///
/// `@unchecked Sendable`: the mutex and the condition variable are made for sharing, and stay where
/// they were initialised.
final class ParkingLot: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let bell = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let sleepers = Atomic<Int>(0)

  init() {
    mutex.initialize(to: pthread_mutex_t())
    bell.initialize(to: pthread_cond_t())
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(bell, nil)
  }

  deinit {
    pthread_cond_destroy(bell)
    pthread_mutex_destroy(mutex)
    bell.deallocate()
    mutex.deallocate()
  }

  /// Sleeps until `condition`, which is read in sequentially consistent order, holds.
  func park(until condition: () -> Bool) {
    pthread_mutex_lock(mutex)
    sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
    while !condition() { pthread_cond_wait(bell, mutex) }
    sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(mutex)
  }

  /// Wakes all sleepers. Call after changing what they wait for.
  func wakeAll() {
    guard sleepers.load(ordering: .sequentiallyConsistent) > 0 else { return }
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(bell)
    pthread_mutex_unlock(mutex)
  }
}
