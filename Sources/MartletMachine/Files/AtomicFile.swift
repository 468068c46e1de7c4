import Foundation

/// A file that appears under its name whole or not at all.
///
/// It is written under a temporary name in the same folder (owner-only), and `commit` makes its
/// bytes durable before it takes its name; without a commit it disappears with this object. A
/// process that is killed leaves the temporary file, which ``removeLeftovers(in:)`` finds.
///
/// For one thread at a time, hence `@unchecked Sendable`.
public final class AtomicFile: @unchecked Sendable {
  /// Where the file will be.
  public let path: String

  private static let suffix = ".martlet-writing"
  private let folder: String
  private let temporary: String
  private let descriptor: Int32
  private var isCommitted = false

  /// - Parameter expectedBytes: reserved on the device, so that a full one is seen at once; 0 for
  ///   no reservation.
  /// - Throws: `MachineError` `.file`.
  public init(path: String, expectedBytes: Int = 0) throws(MachineError) {
    self.path = path
    let url = URL(fileURLWithPath: path)
    folder = url.deletingLastPathComponent().path
    temporary =
      "\(folder)/.\(url.lastPathComponent).\(getpid())-\(UInt32.random(in: 0 ... .max))"
      + Self.suffix
    descriptor = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw Self.failure("cannot write", temporary, errno) }
    if expectedBytes > 0 {
      let status = posix_fallocate(descriptor, 0, off_t(expectedBytes))
      // File systems that cannot reserve say so in one of these two ways.
      guard status == 0 || status == EOPNOTSUPP || status == EINVAL else {
        let error = Self.failure("cannot reserve \(expectedBytes) bytes in", folder, status)
        close(descriptor)
        unlink(temporary)
        isCommitted = true
        throw error
      }
    }
  }

  deinit {
    guard !isCommitted else { return }
    close(descriptor)
    unlink(temporary)
  }

  /// Writes `bytes` at `offset`.
  /// - Throws: `MachineError` `.file`, as on a full device.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(MachineError) {
    var done = 0
    while done < bytes.count, let base = bytes.baseAddress {
      let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset + done))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw Self.failure("cannot write", temporary, errno) }
      done += count
    }
  }

  /// Makes what was written durable, cuts the file to `byteCount` and gives it its name. May take as
  /// long as the device needs.
  /// - Parameter isDurable: whether to wait for the device. Without it a power cut may leave a file
  ///   under the name that has not all its bytes, for readers who check them.
  /// - Throws: `MachineError` `.file`; the temporary file is then gone.
  public func commit(byteCount: Int, isDurable: Bool = true) throws(MachineError) {
    precondition(!isCommitted, "committed twice")
    isCommitted = true
    defer { close(descriptor) }
    guard ftruncate(descriptor, off_t(byteCount)) == 0,
      !isDurable || fsync(descriptor) == 0, rename(temporary, path) == 0
    else {
      let reason = errno
      unlink(temporary)
      throw Self.failure("cannot finish", path, reason)
    }
    guard isDurable else { return }
    let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { return }
    // The name's durability: without it a power cut costs the file, which is only written again.
    fsync(directory)
    close(directory)
  }

  /// Writes a small file in one go.
  /// - Throws: `MachineError` `.file`.
  public static func write(_ data: Data, to path: String) throws(MachineError) {
    let file = try AtomicFile(path: path)
    let bytes = [UInt8](data)
    let result = bytes.withUnsafeBytes { buffer in
      Result { () throws(MachineError) in try file.write(buffer, at: 0) }
    }
    try result.get()
    try file.commit(byteCount: bytes.count)
  }

  /// Removes what killed writers left in `folder`. Only while no other process can be writing there,
  /// which a ``FolderLock`` ensures.
  public static func removeLeftovers(in folder: String) {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    for name in names where name.hasSuffix(suffix) { unlink("\(folder)/\(name)") }
  }

  private static func failure(_ what: String, _ path: String, _ code: Int32) -> MachineError {
    MachineError(.file, "\(what) \(path): \(String(cString: strerror(code)))")
  }
}
