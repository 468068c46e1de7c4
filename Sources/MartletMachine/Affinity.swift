import CNuma
import Foundation

/// The CPUs that the calling thread may run on.
///
/// Through libnuma, whose masks are as long as the running kernel's; Swift's Glibc module has no
/// affinity calls.
public enum Affinity {
  /// The calling thread's CPUs; a thread inherits them from the one that started it.
  /// - Throws: `MachineError` `.topology` when the system does not tell.
  public static func current() throws(MachineError) -> Set<Int> {
    guard let mask = numa_allocate_cpumask() else {
      throw MachineError(.topology, "no memory for a CPU mask")
    }
    defer { numa_bitmask_free(mask) }
    guard numa_sched_getaffinity(0, mask) >= 0 else {
      throw MachineError(
        .topology, "cannot read this process's CPUs: \(String(cString: strerror(errno)))")
    }
    let cpus = (0..<UInt32(clamping: mask.pointee.size)).filter {
      numa_bitmask_isbitset(mask, $0) != 0
    }
    guard !cpus.isEmpty else {
      throw MachineError(.topology, "the system says that this process may use no CPU")
    }
    return Set(cpus.map(Int.init))
  }

  /// Restricts the calling thread to `cpus`.
  /// - Throws: `MachineError` `.threads` when the system refuses, as containers may.
  public static func set(_ cpus: Set<Int>) throws(MachineError) { try set(cpus, thread: 0) }

  /// Restricts the thread with the system's number `thread`, 0 for the calling one.
  static func set(_ cpus: Set<Int>, thread: Int32) throws(MachineError) {
    guard let mask = numa_allocate_cpumask() else {
      throw MachineError(.threads, "no memory for a CPU mask")
    }
    defer { numa_bitmask_free(mask) }
    for cpu in cpus where cpu >= 0 && cpu < Int(clamping: mask.pointee.size) {
      numa_bitmask_setbit(mask, UInt32(cpu))
    }
    guard numa_sched_setaffinity(thread, mask) >= 0 else {
      throw MachineError(
        .threads,
        "the system refused CPUs \(cpus.sorted()): \(String(cString: strerror(errno)))")
    }
  }
}
