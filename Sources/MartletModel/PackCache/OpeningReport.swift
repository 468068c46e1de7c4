import Foundation

/// Where the time of opening a model went, and what the pack cache did.
public struct OpeningReport: Sendable, Codable, Equatable {
  /// What the pack cache had.
  public enum Cache: String, Sendable, Codable {
    /// It was not asked for, or the model is too small to be worth it.
    case off
    /// It cannot be used: no home, no right to write. `note` says why.
    case unavailable
    /// It had nothing for this model; the weights were packed.
    case miss
    /// It had this model's packed weights, and they were mapped, or copied to where a placement
    /// wants them.
    case hit
    /// Its entry was packed from other bytes than the file now has; the weights were packed.
    case stale
    /// Its entry was damaged; the weights were packed.
    case damaged
  }

  /// Bytes of the model file, all parts.
  public var fileBytes = 0
  /// Bytes of all packed weights.
  public var packedBytes = 0
  /// What the cache had.
  public var cache = Cache.off
  /// The cache's file for this model.
  public var cachePath: String?
  /// Whether this opening wrote it (the last of it in the background).
  public var cacheWritten = false
  /// Whether the whole file was read to make sure that it is what the cache was made from: the
  /// case after it was copied, moved to another device or touched.
  public var sourceVerified = false
  /// Why the cache could not be used or was not written.
  public var note: String?

  /// Seconds to map the file and read its directory.
  public var mapSeconds = 0.0
  /// Seconds to fingerprint it.
  public var fingerprintSeconds = 0.0
  /// Seconds to find, map and verify the cache's entry.
  public var lookUpSeconds = 0.0
  /// Seconds to read small tensors and pack matrices.
  public var packSeconds = 0.0
  /// Seconds to write packed weights to the cache, as far as opening waited for it.
  public var writeSeconds = 0.0
  /// Seconds from the start to a usable model.
  public var seconds = 0.0

  public init() {}

  /// The most memory that this process ever had in RAM, mapped files included, in bytes (VmHWM);
  /// nil where the system does not tell.
  public static var peakResidentBytes: Int? {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
      let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
      let kibibytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
    else { return nil }
    return kibibytes << 10
  }
}

/// Seconds between readings.
struct StopWatch {
  private var last = ContinuousClock.now
  private let start = ContinuousClock.now

  /// Seconds since the last lap, or since it was made.
  mutating func lap() -> Double {
    let now = ContinuousClock.now
    defer { last = now }
    return last.duration(to: now) / .seconds(1)
  }

  /// Seconds since it was made.
  var total: Double { start.duration(to: .now) / .seconds(1) }
}
