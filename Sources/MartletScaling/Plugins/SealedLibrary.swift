import CIsolation
import Foundation
import Synchronization

/// A copy of a pinned library that nobody can change any more: the bytes whose digest was compared are the bytes
/// that are loaded, here and in processes started later, whatever becomes of the file.
///
/// A library that is loaded from it has no folder of its own, so it finds others by the system's search path and
/// not by `$ORIGIN`.
struct SealedLibrary: Sendable {
  /// Held for the life of the process: the dynamic linker knows libraries by their paths, and a path with the
  /// number of a closed descriptor could come to name another one.
  let descriptor: Int32
  var path: String { "/proc/self/fd/\(descriptor)" }

  private static let known = Mutex<[String: SealedLibrary]>([:])

  /// One copy for each content, so that a library which is loaded twice is one library.
  /// - Throws: `refused` where the system gives no such memory.
  static func holding(_ data: Data, digest: String) throws(ScalingError) -> SealedLibrary {
    let sealed = known.withLock { known -> SealedLibrary? in
      if let found = known[digest] { return found }
      let descriptor = data.withUnsafeBytes { martlet_isolated_sealed($0.baseAddress, $0.count) }
      guard descriptor >= 0 else { return nil }
      known[digest] = SealedLibrary(descriptor: descriptor)
      return known[digest]
    }
    if let sealed { return sealed }
    throw ScalingError(
      .refused,
      "its pinned bytes cannot be held for loading: \(String(cString: strerror(errno)))")
  }
}
