#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Owner of one zeroed block of memory on a 64-byte boundary, freed with its last reference.
///
/// Blocks of a mebibyte or more are anonymous pages of their own: they take physical memory only
/// when first written (on the NUMA node that writes, or wherever a placement put them before) and
/// ask for huge pages.
///
/// `@unchecked Sendable`: address and size never change. What is stored there is the business of
/// the typed owner above (FloatMatrix, PackedWeights, KVSlab), each with its own rule.
public final class AlignedMemory: @unchecked Sendable {
  /// Size in bytes, as asked for.
  public let byteCount: Int
  /// Whether the block consists of whole pages of its own, so that placement can move it.
  public let isPageMapped: Bool
  /// First byte. Lives as long as this object.
  public let base: UnsafeMutableRawPointer
  /// Keeps memory of somebody else's alive; nil for memory of its own.
  private let lender: AnyObject?

  private static let pageMappedFrom = 1 << 20
  /// The size of a huge page on x86-64 and on arm64 with small pages of 4 KiB.
  public static let hugePageBytes = 2 << 20

  /// `byteCount` zero bytes.
  /// - Throws: `KernelError` `.argument` for a negative size, `.memory` when the system refuses.
  public init(byteCount: Int) throws(KernelError) {
    guard byteCount >= 0 else {
      throw KernelError(.argument, "memory size \(byteCount) is negative or overflowed")
    }
    self.byteCount = byteCount
    lender = nil
    isPageMapped = byteCount >= Self.pageMappedFrom
    if isPageMapped {
      base = try Self.mapPages(byteCount)
      let pages = base
      #if os(Linux)
        // Advice alone: a kernel without huge pages says no and nothing changes.
        _ = madvise(pages, byteCount, Int32(MADV_HUGEPAGE))
      #endif
    } else {
      var block: UnsafeMutableRawPointer?
      guard posix_memalign(&block, 64, max(byteCount, 64)) == 0, let block else {
        throw Self.refused(byteCount)
      }
      memset(block, 0, max(byteCount, 64))
      base = block
    }
  }

  /// A block that lies inside `lender`, such as a mapped file, and lives as long as this object
  /// keeps it. Not to be written where the lender's memory is read-only.
  /// - Throws: `KernelError` `.argument` when `base` is not on a 64-byte boundary.
  public init(
    lending base: UnsafeRawPointer, byteCount: Int, of lender: AnyObject
  ) throws(KernelError) {
    guard byteCount >= 0, UInt(bitPattern: base) % 64 == 0 else {
      throw KernelError(
        .argument, "\(byteCount) bytes of lent memory are not on a 64-byte boundary")
    }
    self.byteCount = byteCount
    self.lender = lender
    isPageMapped = false
    // Written by nobody: packed weights are read-only once they are made.
    self.base = UnsafeMutableRawPointer(mutating: base)
  }

  deinit {
    if lender != nil { return }
    if isPageMapped { munmap(base, byteCount) } else { free(base) }
  }

  /// Calls `body` with all bytes. The pointer must not outlive the call.
  public func withBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
    try body(UnsafeMutableRawBufferPointer(start: base, count: byteCount))
  }

  /// Fresh pages. Blocks that can hold a huge page begin on the boundary of one: the system makes
  /// huge pages of whole aligned stretches alone, and places a mapping on any small page.
  private static func mapPages(_ byteCount: Int) throws(KernelError) -> UnsafeMutableRawPointer {
    let slack = byteCount >= hugePageBytes ? hugePageBytes : 0
    let (total, overflow) = byteCount.addingReportingOverflow(slack)
    let flags = MAP_PRIVATE | Int32(MAP_ANONYMOUS)
    guard !overflow, let pages = mmap(nil, total, PROT_READ | PROT_WRITE, flags, -1, 0),
      pages != MAP_FAILED
    else { throw refused(byteCount) }
    guard slack > 0 else { return pages }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let offset = (hugePageBytes - Int(bitPattern: pages) % hugePageBytes) % hugePageBytes
    let end = offset + (byteCount + page - 1) / page * page
    if offset > 0 { munmap(pages, offset) }
    // What was mapped ends on a page too.
    let mapped = (total + page - 1) / page * page
    if end < mapped { munmap(pages + end, mapped - end) }
    return pages + offset
  }

  private static func refused(_ byteCount: Int) -> KernelError {
    KernelError(.memory, "the system refused \(byteCount) bytes of memory")
  }
}

/// Called with each new block before its first byte is written: where NUMA placement hooks in.
public typealias MemoryPlacement = @Sendable (AlignedMemory) -> Void

/// Product of sizes, or nil when one is negative or it overflows.
func checkedProduct(_ factors: Int...) -> Int? {
  var product = 1
  for factor in factors {
    guard factor >= 0 else { return nil }
    let (next, overflow) = product.multipliedReportingOverflow(by: factor)
    if overflow { return nil }
    product = next
  }
  return product
}
