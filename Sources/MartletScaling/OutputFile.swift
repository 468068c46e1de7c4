import Foundation

/// Writes results to paths that users name.
package enum OutputFile {
  /// Writes `data` to `path`. A regular file appears whole or not at all and keeps its permissions;
  /// anything else that is there (a FIFO, a terminal, a device) is written to, never replaced.
  ///
  /// A symbolic link is followed. Opening a FIFO waits for its reader.
  /// - Throws: `file` naming the path and the system's reason.
  package static func save(_ data: Data, to path: String) throws(ScalingError) {
    var status = stat()
    let exists = stat(path, &status) == 0
    if exists, status.st_mode & S_IFMT != S_IFREG {
      if status.st_mode & S_IFMT == S_IFDIR { throw failure(path, EISDIR) }
      let target = open(path, O_WRONLY | O_CLOEXEC)
      guard target >= 0 else { throw failure(path, errno) }
      let written = writeAll(data, to: target)
      close(target)
      if let reason = written { throw failure(path, reason) }
      return
    }
    try replace(path, with: data, mode: exists ? status.st_mode & 0o7777 : nil)
  }

  /// Writes a neighbour of the file and renames it over the file.
  private static func replace(
    _ path: String, with data: Data, mode: mode_t?
  ) throws(ScalingError) {
    // The file that a link names, so that the link stays.
    let resolved = realpath(path, nil)
    defer { free(resolved) }
    let target = resolved.map { String(cString: $0) } ?? path
    let neighbour = "\(target).\(getpid()).\(UInt32.random(in: .min ... .max)).tmp"
    let file = open(neighbour, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard file >= 0 else { throw failure(path, errno) }
    var reason = writeAll(data, to: file)
    if reason == nil, let mode, fchmod(file, mode) != 0 { reason = errno }
    if close(file) != 0, reason == nil { reason = errno }
    if reason == nil, rename(neighbour, target) != 0 { reason = errno }
    if let reason {
      unlink(neighbour)
      throw failure(path, reason)
    }
  }

  /// Writes everything; what went wrong, as an `errno`, else nil.
  private static func writeAll(_ data: Data, to file: Int32) -> Int32? {
    data.withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        let count = write(file, bytes.baseAddress! + done, bytes.count - done)
        if count < 0, errno == EINTR { continue }
        if count < 0 { return errno }
        done += count
      }
      return nil
    }
  }

  private static func failure(_ path: String, _ reason: Int32) -> ScalingError {
    ScalingError(
      .file,
      "\(path): cannot be written: \(String(cString: strerror(reason))); name another file")
  }
}
