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
/// A worker that loses its CPU to another process in the middle of its part would hold everybody up
/// for a time slice, milliseconds. The caller, done and waiting, sees that the worker's CPU clock
/// stands still, fetches the worker to its own CPU and sleeps, so that the worker goes on at once.
/// And when the system has moved the caller to a worker's CPU, the two change places.
///
/// `@unchecked Sendable`: `body` is written by the caller between jobs only, published by the store
/// to `generation` and read only between a successful claim and its completion.
final class TeamCore: @unchecked Sendable {
  typealias Body = @Sendable (Int) -> Void

  /// How long a caller that is done spins before it looks what the others do.
  private static let patience: UInt64 = 20_000
  /// How long it watches whether a worker runs.
  private static let observation: UInt64 = 10_000
  /// When it looks again.
  private static let secondLook: UInt64 = 250_000

  private let width: Int
  private let spin: UInt64
  /// Callers from different threads take turns; whose turn it is minds the crowd.
  private let turn = Mutex(Contention())
  private let body: UnsafeMutablePointer<Body?>
  private let claims: [PaddedAtomic]
  /// The last generation whose part i is done.
  private let ends: [PaddedAtomic]
  private let generation = PaddedAtomic(0)
  private let done = PaddedAtomic(0)
  private let stopped = Atomic<Bool>(false)
  private let workBell = ParkingLot()
  private let doneBell = ParkingLot()
  /// The workers from 1 on, to be fetched when they lose their CPUs; empty until the team is whole.
  /// Written once, before the first job.
  var threads: [WorkerThread] = []
  /// Who runs where; belongs to whoever has the turn.
  private let seats: TeamSeats

  init(width: Int, spin: UInt64, cpus: [Int?]) {
    self.width = width
    self.spin = spin
    seats = TeamSeats(cpus)
    claims = (0..<width).map { _ in PaddedAtomic(0) }
    ends = (0..<width).map { _ in PaddedAtomic(0) }
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
      if spin > 0 { seats.makeWay(threads, at: begin) }
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
      ends[part].value.store(current, ordering: .releasing)
      _ = done.value.wrappingAdd(1, ordering: .acquiringAndReleasing)
    }
    let worked = monotonicNanoseconds()
    awaitOthers(current)
    return worked
  }

  /// Waits until all parts are done.
  private func awaitOthers(_ current: UInt64) {
    let isDone = { [done, width] in
      done.value.load(ordering: .sequentiallyConsistent) == UInt64(width)
    }
    if isDone() || spins(Self.patience, until: isDone) { return }
    guard spin > 0 else { return doneBell.park(until: isDone) }
    var fetched: [WorkerThread] = []
    while !isDone() {
      for thread in stalled(current) where !fetched.contains(where: { $0 === thread }) {
        if seats.fetch(thread) { fetched.append(thread) }
      }
      if fetched.isEmpty, spins(spin, until: isDone) { return }
      doneBell.park(for: Self.secondLook, until: isDone)
    }
    for thread in fetched { seats.sendBack(thread) }
  }

  /// Workers in the middle of their part that do not run: another process has their CPU.
  private func stalled(_ current: UInt64) -> [WorkerThread] {
    let late = threads.filter {
      claims[$0.index].value.load(ordering: .relaxed) == current
        && ends[$0.index].value.load(ordering: .acquiring) != current
    }
    let before = late.map { $0.cpuNanoseconds() }
    let isLate = { [ends] in
      late.allSatisfy { ends[$0.index].value.load(ordering: .acquiring) == current }
    }
    if late.isEmpty || spins(Self.observation, until: isLate) { return [] }
    return zip(late, before).filter { $0.cpuNanoseconds() &- $1 < Self.observation / 4 }.map(\.0)
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
      ends[index].value.store(seen, ordering: .releasing)
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
    if condition() || spins(spin, until: condition) { return }
    bell.park(until: condition)
  }

  /// Spins for at most `nanoseconds` until `condition` holds; whether it did.
  @inline(__always)
  private func spins(_ nanoseconds: UInt64, until condition: () -> Bool) -> Bool {
    guard nanoseconds > 0, spin > 0 else { return false }
    let end = monotonicNanoseconds() + nanoseconds
    repeat {
      for _ in 0..<16 {
        martlet_spin_pause()
        if condition() { return true }
      }
    } while monotonicNanoseconds() < end
    return false
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
