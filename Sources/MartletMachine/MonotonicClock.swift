import Foundation

/// Nanoseconds of a clock that never goes back.
@inline(__always)
public func monotonicNanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}

/// A moment by which something must be over.
public struct Deadline: Sendable, Hashable {
  /// On the monotonic clock; `UInt64.max` means never.
  public let nanoseconds: UInt64

  /// A deadline that never comes.
  public static let never = Deadline(nanoseconds: .max)

  private init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// `seconds` from now; zero or less has passed already, a very large or infinite number never
  /// comes.
  public init(after seconds: Double) {
    let now = monotonicNanoseconds()
    guard seconds > 0 else {
      nanoseconds = now
      return
    }
    let distance = seconds * 1e9
    nanoseconds = distance < 9e18 ? now + UInt64(distance) : .max
  }

  /// Whether the moment has come.
  public var hasPassed: Bool { nanoseconds != .max && monotonicNanoseconds() >= nanoseconds }

  /// Seconds left: 0 once passed, infinite for `never`.
  public var secondsLeft: Double {
    guard nanoseconds != .max else { return .infinity }
    let now = monotonicNanoseconds()
    return now >= nanoseconds ? 0 : Double(nanoseconds - now) / 1e9
  }
}
