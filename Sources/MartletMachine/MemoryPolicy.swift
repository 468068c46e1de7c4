import CNuma
import Foundation
import Logging
import MartletKernels

/// On which NUMA nodes large memory lies.
public enum MemoryPolicy: Sendable, Equatable {
  /// On the node of the thread that first writes each page.
  case firstTouch
  /// Page by page in turn on all nodes that the process may use: every core reads at the average
  /// speed of all memory.
  case interleaved
  /// On one node.
  case bound(node: Int)

  /// The hook for owners of memory (`PackedWeights`, `KVSlab`), or nil where there is nothing to do:
  /// on a machine with one node, or for `firstTouch`, which is what the system does anyway.
  ///
  /// A refusal by the system is logged: it costs speed, not results.
  public func placement(
    on topology: Topology, logger: Logger = Logger(label: "martlet.machine")
  ) -> MemoryPlacement? {
    let known = topology.numaNodes.map(\.id)
    guard known.count > 1, numa_available() >= 0 else { return nil }
    let nodes: [Int]
    let mode: Int32
    switch self {
    case .firstTouch: return nil
    case .interleaved: (nodes, mode) = (known, MPOL_INTERLEAVE)
    case .bound(let node): (nodes, mode) = ([node], MPOL_BIND)
    }
    return { memory in Self.apply(mode, nodes, to: memory, logger) }
  }

  private static func apply(
    _ mode: Int32, _ nodes: [Int], to memory: AlignedMemory, _ logger: Logger
  ) {
    // Small blocks share their pages with others and cannot be placed.
    guard memory.isPageMapped, let last = nodes.max(), nodes.allSatisfy({ $0 >= 0 }) else { return }
    let wordBits = UInt.bitWidth
    var mask = [UInt](repeating: 0, count: last / wordBits + 1)
    for node in nodes { mask[node / wordBits] |= 1 << UInt(node % wordBits) }
    let status = memory.withBytes { bytes in
      // The kernel reads one bit fewer than it is told.
      mbind(
        bytes.baseAddress, UInt(bytes.count), mode, mask, UInt(mask.count * wordBits + 1), 0)
    }
    if status != 0 {
      logger.warning(
        "memory could not be placed on NUMA nodes \(nodes): \(String(cString: strerror(errno)))")
    }
  }
}
