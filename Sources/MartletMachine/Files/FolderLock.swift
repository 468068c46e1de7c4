import Foundation

/// Says that one process at a time changes a folder. Held until this object goes; the system lets
/// go of it when the process ends, however it ends. Leaves no file behind.
public final class FolderLock: Sendable {
  private let descriptor: Int32

  /// Takes the lock, or returns nil at once while somebody else holds it.
  /// - Parameter shared: beside others who share it, and nobody who does not.
  /// - Throws: `MachineError` `.file` when the folder cannot be opened or the file system has no
  ///   locks.
  public static func tryTaking(
    _ folder: String, shared: Bool = false
  ) throws(MachineError) -> FolderLock? {
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(folder, errno) }
    if flock(descriptor, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 {
      return FolderLock(descriptor)
    }
    let reason = errno
    close(descriptor)
    if reason == EWOULDBLOCK { return nil }
    throw failure(folder, reason)
  }

  private init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// Lets go now, whoever still holds this object.
  public func release() { flock(descriptor, LOCK_UN) }

  deinit { close(descriptor) }

  private static func failure(_ folder: String, _ reason: Int32) -> MachineError {
    MachineError(.file, "cannot lock \(folder): \(String(cString: strerror(reason)))")
  }
}
