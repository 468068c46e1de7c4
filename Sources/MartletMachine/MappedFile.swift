import Foundation

/// A file mapped read-only into memory, of fixed size.
///
/// The mapping keeps the file's content reachable when the file is renamed, deleted or replaced by
/// another. A file cut short underneath a mapping cannot be read past its new end (the system sends
/// SIGBUS); `verifyUnchanged` finds such a change before a long read does.
///
/// `@unchecked Sendable`: the mapping is read-only and lives as long as this object.
public final class MappedFile: @unchecked Sendable {
  /// The path as given.
  public let path: String
  /// Bytes in the file when it was opened.
  public let count: Int

  private let base: UnsafeRawPointer?
  private let descriptor: Int32
  private let identity: Identity

  /// What tells that a file is still the one that was opened.
  private struct Identity: Equatable {
    var size: Int
    var modifiedSeconds: Int
    var modifiedNanoseconds: Int
  }

  /// Opens and maps the file at `path`.
  /// - Throws: `MachineError` `.file` when it does not exist, may not be read, is no regular file
  ///   or cannot be mapped.
  public init(path: String) throws(MachineError) {
    // Not blocking: opening a FIFO would wait for a writer that may never come.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Self.failure("cannot open", path, errno) }
    var information = stat()
    guard fstat(descriptor, &information) == 0 else {
      let reason = errno
      close(descriptor)
      throw Self.failure("cannot examine", path, reason)
    }
    guard information.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw MachineError(.file, "\(path) is not a regular file; give the path of a file")
    }
    let size = Int(information.st_size)
    if size > 0 {
      guard let pages = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0),
        pages != MAP_FAILED
      else {
        let reason = errno
        close(descriptor)
        throw Self.failure("cannot map", path, reason)
      }
      base = UnsafeRawPointer(pages)
    } else {
      base = nil
    }
    self.path = path
    self.descriptor = descriptor
    count = size
    identity = Self.identity(of: information)
  }

  deinit {
    if let base { munmap(UnsafeMutableRawPointer(mutating: base), count) }
    close(descriptor)
  }

  /// Calls `body` with the whole file. The pointer must not outlive the call.
  public func withBytes<R, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try body(UnsafeRawBufferPointer(start: base, count: count))
  }

  /// Calls `body` with the bytes in `range`. The pointer must not outlive the call.
  /// - Throws: `MachineError` `.file` when the range is not inside the file.
  public func withBytes<R>(
    in range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(MachineError) -> R
  ) throws(MachineError) -> R {
    try check(range)
    return try body(
      UnsafeRawBufferPointer(start: base.map { $0 + range.lowerBound }, count: range.count))
  }

  /// A copy of the bytes in `range`.
  /// - Throws: `MachineError` `.file` when the range is not inside the file.
  public func bytes(in range: Range<Int>) throws(MachineError) -> [UInt8] {
    try withBytes(in: range) { bytes in Array(bytes) }
  }

  /// Throws `MachineError` `.file` when the file was written to, or cut short, since it was opened.
  public func verifyUnchanged() throws(MachineError) {
    var information = stat()
    guard fstat(descriptor, &information) == 0 else {
      throw Self.failure("cannot examine", path, errno)
    }
    guard Self.identity(of: information) == identity else {
      throw MachineError(
        .file,
        "\(path) changed while it was open (\(count) bytes then, \(information.st_size) now); "
          + "open it again")
    }
  }

  /// Says that `range` will be read soon, so that the system can fetch it ahead.
  public func prefetch(_ range: Range<Int>) { advise(range, MADV_WILLNEED, wholePagesOnly: false) }

  /// Gives the memory that holds `range` back to the system; reading it again reads the file again.
  public func release(_ range: Range<Int>) { advise(range, MADV_DONTNEED, wholePagesOnly: true) }

  private func advise(_ range: Range<Int>, _ advice: Int32, wholePagesOnly: Bool) {
    let clamped = range.clamped(to: 0..<count)
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    guard let base, page > 0 else { return }
    let begin =
      wholePagesOnly
      ? (clamped.lowerBound + page - 1) / page * page : clamped.lowerBound / page * page
    let end = wholePagesOnly ? clamped.upperBound / page * page : clamped.upperBound
    guard begin < end else { return }
    // Advice on a read-only mapping changes no content; a refusal changes nothing at all.
    _ = madvise(UnsafeMutableRawPointer(mutating: base + begin), end - begin, advice)
  }

  private func check(_ range: Range<Int>) throws(MachineError) {
    guard range.lowerBound >= 0, range.upperBound <= count else {
      throw MachineError(.file, "\(path): bytes \(range) are not inside its \(count) bytes")
    }
  }

  private static func identity(of information: stat) -> Identity {
    Identity(
      size: Int(information.st_size), modifiedSeconds: information.st_mtim.tv_sec,
      modifiedNanoseconds: information.st_mtim.tv_nsec)
  }

  private static func failure(_ what: String, _ path: String, _ code: Int32) -> MachineError {
    MachineError(.file, "\(what) \(path): \(String(cString: strerror(code)))")
  }
}
