import Foundation
import MartletKernels

/// Writable memory in a file, for more than RAM holds: the system keeps in memory what is used, and
/// writes the rest to the device.
///
/// All of it is reserved on the device when it is opened, so that a full one is an error then and not a
/// signal in the middle of a pass. The file has no name from then on: it goes when this object does or
/// the process ends, however it ends. It is not for tmpfs, which is memory. A device that fails to read
/// ends the process, as it does for every mapped file.
///
/// `@unchecked Sendable`: the mapping lives as long as this object, what changes belongs to the one thread
/// that takes blocks, and what blocks hold is the business of their owners.
public final class MemoryFile: KVBacking, @unchecked Sendable {
  /// Bytes reserved.
  public let byteCount: Int
  private let base: UnsafeMutableRawPointer
  private let descriptor: Int32
  private let page = Int(sysconf(Int32(_SC_PAGESIZE)))
  private var taken = 0
  private var isReadAtRandom = false

  /// - Parameter path: a folder, or a file that does not exist yet.
  /// - Throws: `MachineError` `.file` when it cannot be made, exists, or the device has no room or
  ///   cannot reserve.
  public init(path: String, byteCount: Int) throws(MachineError) {
    guard byteCount > 0 else {
      throw MachineError(.argument, "a file of \(byteCount) bytes for keys and values")
    }
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    let name =
      exists && isFolder.boolValue
      ? "\(path)/.martlet-kv.\(getpid())-\(UInt32.random(in: 0 ... .max))" : path
    descriptor = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw Self.failure("cannot make", name, errno) }
    unlink(name)
    // Asked first: a reservation that fails has filled the device for a moment.
    let status =
      Self.hasRoom(descriptor, byteCount)
      ? posix_fallocate(descriptor, 0, off_t(byteCount)) : ENOSPC
    guard status == 0 else {
      close(descriptor)
      throw Self.failure("cannot reserve \(byteCount) bytes for keys and values in", path, status)
    }
    guard
      let pages = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
      pages != MAP_FAILED
    else {
      let reason = errno
      close(descriptor)
      throw Self.failure("cannot map", path, reason)
    }
    base = pages
    self.byteCount = byteCount
    readingCost = measureReading() ?? readingCost
  }

  /// What reading from this device takes: measured when the file is opened, on its first bytes, where there are
  /// enough of them. What was measured elsewhere where there are not: 4 KiB on a virtual disk.
  public private(set) var readingCost = KVReadingCost(scattered: 11e-6, inOrder: 1.7e-6)

  /// Writes some megabytes, has them leave memory, and fetches half of them in order and some blocks of the
  /// other half one by one; then they are zero again. nil where that cannot be told.
  private func measureReading() -> KVReadingCost? {
    let (half, unit, scattered) = (8 << 20, 4096, 512)
    guard byteCount >= 2 * half else { return nil }
    memset(base, 1, 2 * half)
    defer { memset(base, 0, 2 * half) }
    evict()
    var sum: UInt8 = 0
    func seconds(_ offsets: [Int], _ length: Int) -> Double {
      let begin = monotonicNanoseconds()
      for offset in offsets {
        prefetch(UnsafeRawBufferPointer(start: base + offset, count: length))
      }
      for offset in offsets {
        for block in stride(from: offset, to: offset + length, by: unit) {
          sum &+= base.load(fromByteOffset: block, as: UInt8.self)
        }
      }
      return Double(monotonicNanoseconds() - begin) * 1e-9
    }
    madvise(base, byteCount, MADV_RANDOM)
    defer { madvise(base, byteCount, MADV_NORMAL) }
    let before = Self.blocksRead
    let inOrder = seconds(Array(stride(from: 0, to: half, by: 256 << 10)), 256 << 10)
    let blocks = half / unit
    // Far apart and in no order that a device would know.
    let places = (0..<scattered).map { half + $0 * 1237 % blocks * unit }
    let apart = seconds(places, unit)
    guard sum == UInt8(truncatingIfNeeded: blocks + scattered),
      Self.blocksRead - before >= (blocks + scattered) / 2
    else { return nil }
    return KVReadingCost(
      scattered: apart / Double(scattered), inOrder: inOrder / Double(blocks))
  }

  deinit {
    munmap(base, byteCount)
    close(descriptor)
  }

  public func block(byteCount: Int) throws(KernelError) -> AlignedMemory {
    let start = (taken + page - 1) / page * page
    guard byteCount >= 0, byteCount <= self.byteCount - start else {
      throw KernelError(
        .memory,
        "the file for keys and values has \(self.byteCount - start) bytes left, \(byteCount) are "
          + "needed; make it larger")
    }
    taken = start + byteCount
    return try AlignedMemory(lending: base + start, byteCount: byteCount, of: self)
  }

  public func prefetch(_ stretch: UnsafeRawBufferPointer) {
    advise(stretch, MADV_WILLNEED, wholePagesOnly: false)
  }

  public func cool(_ stretch: UnsafeRawBufferPointer) {
    #if os(Linux)
      // MADV_COLD, of Linux 5.4; older systems refuse and go by use alone.
      advise(stretch, 20, wholePagesOnly: true)
    #endif
  }

  /// Says whether single pages of memory will be read in no order: reading one then fetches no more.
  /// Belongs to one thread at a time.
  public func expectRandomReads(_ isRandom: Bool) {
    guard isRandom != isReadAtRandom else { return }
    isReadAtRandom = isRandom
    madvise(base, byteCount, isRandom ? MADV_RANDOM : MADV_NORMAL)
  }

  /// Writes everything to the device and gives the memory back, so that it is read from there again: for
  /// measuring.
  public func evict() {
    madvise(base, byteCount, MADV_DONTNEED)
    fdatasync(descriptor)
    #if os(Linux)
      posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    #endif
  }

  /// Bytes that are in memory now.
  public var residentBytes: Int {
    var states = [UInt8](repeating: 0, count: (byteCount + page - 1) / page)
    guard mincore(base, byteCount, &states) == 0 else { return 0 }
    return states.reduce(0) { $0 + Int($1 & 1) } * page
  }

  /// Blocks of 4 KiB that this process has had read from devices, waited for or asked for ahead.
  public static var blocksRead: Int {
    var usage = rusage()
    #if canImport(Glibc)
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    #else
      getrusage(RUSAGE_SELF, &usage)
    #endif
    // In units of 512 bytes.
    return usage.ru_inblock / 8
  }

  private static func hasRoom(_ descriptor: Int32, _ bytes: Int) -> Bool {
    var information = statvfs()
    guard fstatvfs(descriptor, &information) == 0 else { return true }
    return UInt64(information.f_bavail).multipliedReportingOverflow(
      by: UInt64(information.f_frsize)
    ).partialValue >= UInt64(bytes)
  }

  private func advise(
    _ stretch: UnsafeRawBufferPointer, _ advice: Int32, wholePagesOnly: Bool
  ) {
    guard let start = stretch.baseAddress else { return }
    let from = start - UnsafeRawPointer(base)
    let begin = wholePagesOnly ? (from + page - 1) / page * page : from / page * page
    let end =
      wholePagesOnly ? (from + stretch.count) / page * page : min(byteCount, from + stretch.count)
    guard begin >= 0, begin < end, end <= byteCount else { return }
    _ = madvise(base + begin, end - begin, advice)
  }

  private static func failure(_ what: String, _ path: String, _ code: Int32) -> MachineError {
    let hint =
      switch code {
      case EEXIST: "; name a folder, or a file that does not exist"
      case ENOSPC: "; free some, allow fewer bytes, or name another device"
      case EOPNOTSUPP, EINVAL: "; the file system cannot reserve: name another one"
      default: ""
      }
    return MachineError(.file, "\(what) \(path): \(String(cString: strerror(code)))\(hint)")
  }
}
