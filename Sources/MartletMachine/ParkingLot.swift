import CHwloc

/// Where threads sleep, on a futex, until a condition that others change holds.
///
/// No wake-up is lost: a sleeper raises a flag and then looks at the condition once more; a waker
/// changes the condition and then takes the flag down; both in one total order. Who looks at the
/// condition too early has read the epoch before the waker moved it on, and the futex does not let
/// it sleep. Nobody holds a lock, so a thread that loses its CPU here holds nobody up.
///
/// `@unchecked Sendable`: both words are touched by atomic operations alone.
final class ParkingLot: @unchecked Sendable {
  // Words with an address of their own, which Swift's atomics do not give to a system call. A cache
  // line each: the flag is read in every loop.
  private let words = UnsafeMutablePointer<UInt32>.allocate(capacity: 64)
  private var epoch: UnsafeMutablePointer<UInt32> { words + 16 }
  private var hasSleepers: UnsafeMutablePointer<UInt32> { words + 32 }

  init() { words.initialize(repeating: 0, count: 64) }

  deinit { words.deallocate() }

  /// Sleeps until `condition`, which is read in sequentially consistent order, holds, or until
  /// `nanoseconds` (0: no limit) are over.
  func park(for nanoseconds: UInt64 = 0, until condition: () -> Bool) {
    while true {
      let seen = martlet_atomic_load(epoch)
      martlet_atomic_store(hasSleepers, 1)
      if condition() { return }
      martlet_futex_wait(epoch, seen, nanoseconds)
      if condition() || nanoseconds > 0 { return }
    }
  }

  /// Wakes all sleepers. Call after changing what they wait for.
  @inline(__always)
  func wakeAll() {
    guard martlet_atomic_load(hasSleepers) != 0 else { return }
    wakeSleepers()
  }

  @inline(never)
  private func wakeSleepers() {
    guard martlet_atomic_exchange(hasSleepers, 0) != 0 else { return }
    martlet_atomic_increment(epoch)
    martlet_futex_wake_all(epoch)
  }
}
