import CNuma
import Foundation
import Logging
import MartletKernels

/// On which NUMA nodes a stretch of memory lies.
public enum MemoryPolicy: Sendable, Equatable {
  /// On the node of the thread that first writes each page.
  case firstTouch
  /// Page by page in turn on these nodes: every core reads at the average speed of all memory.
  case interleaved(nodes: [Int])
  /// On one node.
  case bound(node: Int)
}

/// Applies a policy to memory that was not yet written: whole pages, except that the last may be
/// cut short. Tests give one that takes notes.
public typealias MemoryBinder =
  @Sendable (_ memory: UnsafeMutableRawBufferPointer, _ policy: MemoryPolicy) -> Void

extension MemoryPolicy {
  /// Asks the system, by libnuma's `mbind`. A refusal, as in containers without the right to it, is
  /// logged: it costs speed, not results.
  public static func systemBinder(
    logger: Logger = Logger(label: "martlet.machine")
  ) -> MemoryBinder {
    { memory, policy in
      let nodes: [Int]
      let mode: Int32
      switch policy {
      case .firstTouch: return
      case .interleaved(let all): (nodes, mode) = (all, MPOL_INTERLEAVE)
      case .bound(let node): (nodes, mode) = ([node], MPOL_BIND)
      }
      guard let last = nodes.max(), nodes.allSatisfy({ $0 >= 0 }), let base = memory.baseAddress
      else { return }
      let wordBits = UInt.bitWidth
      var mask = [UInt](repeating: 0, count: last / wordBits + 1)
      for node in nodes { mask[node / wordBits] |= 1 << UInt(node % wordBits) }
      // The kernel reads one bit fewer than it is told.
      let bits = UInt(mask.count * wordBits + 1)
      if mbind(base, UInt(memory.count), mode, mask, bits, 0) != 0 {
        logger.warning(
          "memory could not be placed on NUMA nodes \(nodes): \(String(cString: strerror(errno)))")
      }
    }
  }
}

/// Where weights and pages of keys and values lie under a placement plan.
///
/// Blocks under a mebibyte share their pages with others and stay where they are first touched.
public struct MemoryPlan: Sendable {
  private let plan: PlacementPlan
  private let bind: MemoryBinder

  /// - Parameter binder: what binds memory; the system if nil.
  public init(plan: PlacementPlan, binder: MemoryBinder? = nil) {
    self.plan = plan
    bind = binder ?? MemoryPolicy.systemBinder()
  }

  /// For packing weights; nil where there is nothing to place: one node, or `off`.
  public var weights: WeightPlacement? {
    guard plan.nodes.count > 1 else { return nil }
    let (plan, bind) = (plan, bind)
    let everybody = [0..<plan.workers.count]
    switch plan.options.memory {
    case .off: return nil
    case .shard:
      return WeightPlacement(readers: everybody) { memory, tiles, _ in
        Self.shard(memory, tiles, plan, bind)
      }
    case .replicate:
      return WeightPlacement(readers: plan.nodes.map(\.workers)) { memory, _, copy in
        Self.whole(memory, .bound(node: plan.nodes[copy].memoryNode), bind)
      }
    case .interleave:
      return WeightPlacement(readers: everybody) { memory, _, _ in
        Self.whole(memory, .interleaved(nodes: plan.memoryNodes), bind)
      }
    }
  }

  /// For pages of keys and values, nil where there is nothing to place. They are interleaved: any
  /// worker may attend with any head of any branch, and a node's heads within a page of 32 positions
  /// are shorter than a page of memory.
  public var pages: MemoryPlacement? {
    guard plan.nodes.count > 1, plan.options.memory != .off else { return nil }
    let (nodes, bind) = (plan.memoryNodes, bind)
    return { memory in Self.whole(memory, .interleaved(nodes: nodes), bind) }
  }

  private static func whole(
    _ memory: AlignedMemory, _ policy: MemoryPolicy, _ bind: MemoryBinder
  ) {
    guard memory.isPageMapped else { return }
    memory.withBytes { bind($0, policy) }
  }

  /// Binds each node's tiles. Where a boundary falls inside a page, the page goes to the node before
  /// it; large shares meet at huge pages, so that the system can give them.
  private static func shard(
    _ memory: AlignedMemory, _ tiles: Int, _ plan: PlacementPlan, _ bind: MemoryBinder
  ) {
    guard memory.isPageMapped, tiles > 0 else { return }
    let tileBytes = memory.byteCount / tiles
    let smallPage = Int(sysconf(Int32(_SC_PAGESIZE)))
    let isLarge = memory.byteCount / plan.nodes.count >= 8 * AlignedMemory.hugePageBytes
    let page = isLarge ? AlignedMemory.hugePageBytes : smallPage
    memory.withBytes { bytes in
      var begin = 0
      for (index, node) in plan.nodes.enumerated() {
        let last = index == plan.nodes.count - 1
        let boundary = plan.share(of: tiles, node: index).upperBound * tileBytes
        let end = last ? bytes.count : min(bytes.count, (boundary + page - 1) / page * page)
        guard begin < end else { continue }
        bind(.init(rebasing: bytes[begin..<end]), .bound(node: node.memoryNode))
        begin = end
      }
    }
  }
}

extension PlacementPlan {
  /// The nodes whose memory the workers use, each once, ascending.
  public var memoryNodes: [Int] { Set(nodes.map(\.memoryNode)).sorted() }
}
