public import Foundation

/// A file in a folder whose size is bounded: what goes first is what was used longest ago.
public struct CachedFile: Sendable {
  /// Where it is.
  public let path: String
  public let bytes: Int
  /// When it was last written or touched.
  public let used: Date

  /// What is left free on a device for others.
  private static let spareBytes = 1 << 30

  /// The regular files of a folder whose names end in `suffix`, the most recently used first. Links are
  /// not followed.
  public static func all(in folder: String, suffix: String) -> [CachedFile] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasSuffix(suffix) }.compactMap { name -> CachedFile? in
      var information = stat()
      guard lstat("\(folder)/\(name)", &information) == 0,
        information.st_mode & S_IFMT == S_IFREG
      else { return nil }
      let time = information.st_mtim
      return CachedFile(
        path: "\(folder)/\(name)", bytes: Int(information.st_size),
        used: Date(timeIntervalSince1970: Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9))
    }
    .sorted { ($1.used, $0.path) < ($0.used, $1.path) }
  }

  /// Removes it and returns its size, 0 when it could not be removed.
  public func remove() -> Int { unlink(path) == 0 ? bytes : 0 }

  /// Removes all such files of a folder by `remove`, and what killed writers left. Returns the bytes freed.
  /// - Throws: `MachineError` `.file` while another process writes to the folder.
  public static func clear(
    _ folder: String, suffix: String, remove: (CachedFile) -> Int
  ) throws(MachineError) -> Int {
    guard FileManager.default.fileExists(atPath: folder) else { return 0 }
    guard let lock = try FolderLock.tryTaking(folder) else {
      throw MachineError(.file, "another process is writing to \(folder); try again later")
    }
    defer { withExtendedLifetime(lock) {} }
    AtomicFile.removeLeftovers(in: folder)
    return all(in: folder, suffix: suffix).reduce(0) { $0 + remove($1) }
  }

  /// The bytes free on a folder's device if they are too few for `bytes` more and a spare gibibyte; nil if
  /// there is room, or nobody knows.
  public static func freeBytes(in folder: String, tooFewFor bytes: Int) -> Int? {
    var information = statvfs()
    guard statvfs(folder, &information) == 0 else { return nil }
    let free = Int(clamping: UInt64(information.f_bavail) &* UInt64(information.f_frsize))
    return free - spareBytes >= bytes ? nil : free
  }
}
