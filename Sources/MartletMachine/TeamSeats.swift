import CHwloc

/// On which CPU each worker of a team is, as far as the team decides.
///
/// `@unchecked Sendable`: used by one caller at a time, under the team's turn.
final class TeamSeats: @unchecked Sendable {
  /// By worker; nil where the system places it. The caller's is where it was expected.
  private var cpus: [Int?]
  private var workerOn: [Int: Int] = [:]
  private var lastChange: UInt64 = 0

  /// No more than one change in this time: the system moves the caller about as it likes.
  private static let pause: UInt64 = 2_000_000

  init(_ cpus: [Int?]) {
    self.cpus = cpus
    for (worker, cpu) in cpus.enumerated() {
      if let cpu { workerOn[cpu] = worker }
    }
  }

  /// Where the system has moved the caller to the CPU of a worker, as it does when another process
  /// takes the caller's, that worker gets the caller's place.
  func makeWay(_ threads: [WorkerThread], at now: UInt64) {
    let here = Int(sched_getcpu())
    guard here >= 0, cpus[0] != here, now &- lastChange > Self.pause else { return }
    guard let free = cpus[0], let worker = workerOn[here], worker > 0, worker <= threads.count
    else { return }
    lastChange = now
    guard threads[worker - 1].move(to: free) else { return }
    (cpus[worker], cpus[0]) = (free, here)
    (workerOn[free], workerOn[here]) = (worker, 0)
  }

  /// Moves a pinned worker that waits for its CPU to the caller's, where it runs as soon as the
  /// caller sleeps. False where there is nothing to move or the system refuses.
  func fetch(_ thread: WorkerThread) -> Bool {
    let here = Int(sched_getcpu())
    guard here >= 0, let own = cpus[thread.index], own != here else { return false }
    return thread.move(to: here)
  }

  /// Moves it to its own CPU again.
  func sendBack(_ thread: WorkerThread) {
    if let own = cpus[thread.index] { _ = thread.move(to: own) }
  }
}
