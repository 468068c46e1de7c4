import Foundation
import MartletKernels

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

  /// What the system says of the file, as it was when it was opened.
  public let identity: FileIdentity

  private let base: UnsafeRawPointer?
  private let descriptor: Int32

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
    identity = FileIdentity(information)
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
    // Renaming or deleting changes the inode's times too, and does no harm here.
    guard FileIdentity(information).hasSameContent(as: identity) else {
      throw MachineError(
        .file,
        "\(path) changed while it was open (\(count) bytes then, \(information.st_size) now); "
          + "open it again")
    }
  }

  /// Says that `range` will be read soon, so that the system can fetch it ahead.
  public func prefetch(_ range: Range<Int>) { advise(range, MADV_WILLNEED, wholePagesOnly: false) }

  /// Lends the bytes in `range` without copying them, for as long as the result lives; it keeps this
  /// mapping alive.
  /// - Throws: `MachineError` `.file` when the range is not inside the file or does not start on a
  ///   64-byte boundary.
  public func lend(_ range: Range<Int>) throws(MachineError) -> AlignedMemory {
    try check(range)
    do throws(KernelError) {
      guard let base else { throw KernelError(.argument, "it is empty") }
      return try AlignedMemory(lending: base + range.lowerBound, byteCount: range.count, of: self)
    } catch {
      throw MachineError(.file, "\(path): bytes \(range) cannot be lent: \(error)")
    }
  }

  /// Says that single pages will be read in no order, until it is said otherwise: reading one then
  /// fetches no more than that one from the device.
  public func expectRandomReads(_ isRandom: Bool) {
    advise(0..<count, isRandom ? MADV_RANDOM : MADV_NORMAL, wholePagesOnly: false)
  }

  /// Says that `range` will be read a few bytes here and there: touching one byte then maps a few
  /// pages around it and not a huge one.
  public func expectSparseReads(_ range: Range<Int>) {
    #if os(Linux)
      advise(range, Int32(MADV_NOHUGEPAGE), wholePagesOnly: true)
    #endif
  }

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

  private static func failure(_ what: String, _ path: String, _ code: Int32) -> MachineError {
    MachineError(.file, "\(what) \(path): \(String(cString: strerror(code)))")
  }
}
