/// Decides when a team should leave its work to the caller, because other processes hold its
/// workers' CPUs.
///
/// A worker that is not running in the middle of its part, and that the caller could not fetch (see
/// `TeamSeats`), costs everybody a time slice, several milliseconds in which a small job could have
/// run a hundred times. After such a wait the team works on the caller alone for as long as the wait
/// was; twice, four, up to sixteen times as long if the next try goes the same way. So a team on a
/// crowded machine is at worst a little slower than one thread, and it is back at full width within a
/// tenth of a second of the crowd's end. Results never depend on it.
struct Contention {
  /// Waits shorter than this are ordinary: a chunk that took longer than others.
  private static let ordinaryWait: UInt64 = 200_000
  private static let longestSolo: UInt64 = 100_000_000
  private static let highestFactor: UInt64 = 16

  private var soloUntil: UInt64 = 0
  private var factor: UInt64 = 1

  /// Whether a job that begins at `now` should stay on the caller.
  func isSolo(at now: UInt64) -> Bool { now < soloUntil }

  /// Notes that the caller worked on a job from `begin` to `worked` and then waited until `end` for
  /// the others.
  mutating func record(begin: UInt64, worked: UInt64, end: UInt64) {
    let wait = end - worked
    guard wait > Self.ordinaryWait, wait > (worked - begin) / 2 else { return }
    let fullWidth = begin > soloUntil ? begin - soloUntil : 0
    factor = fullWidth < 4 * wait ? min(factor * 2, Self.highestFactor) : max(1, factor / 2)
    soloUntil = end + min(wait * factor, Self.longestSolo)
  }
}
