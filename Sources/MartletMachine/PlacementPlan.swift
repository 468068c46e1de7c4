import MartletKernels

/// Which CPU each worker of a team runs on, which part of every weight each NUMA node owns, and why.
///
/// Workers of one node have consecutive indices, so that a loop or a packing that is divided evenly
/// among workers gives every node one contiguous range: `share` is that range.
public struct PlacementPlan: Sendable, Equatable {
  /// One worker's place.
  public struct Worker: Sendable, Equatable {
    /// The CPU to pin to, or nil to let the system place it.
    public var cpu: Int?
    /// The NUMA node of that CPU, nil without one.
    public var numaNode: Int?
  }

  /// The workers of one NUMA node.
  public struct Node: Sendable, Equatable {
    /// The operating system's number.
    public var id: Int
    /// The node whose memory its workers use: itself, unless it has none.
    public var memoryNode: Int
    /// Indices into `workers`.
    public var workers: Range<Int>
  }

  /// The most threads a plan accepts.
  public static let maximumThreads = 4096

  /// One entry per worker; the first is the caller's.
  public let workers: [Worker]
  /// The nodes with workers, in the order of their workers; at least one. Workers that the system
  /// places belong to the last.
  public let nodes: [Node]
  /// What was asked for.
  public let options: PlacementOptions
  /// More workers than CPUs that can run at once: nobody should spin.
  public let oversubscribed: Bool
  /// Why the plan is as it is, a sentence each.
  public let reasons: [String]

  /// Places workers: one per physical core of the faster kinds first, in the order that `options`
  /// says; then slower cores; then second hardware threads; what remains is left to the system.
  ///
  /// Without `options.threads` there is one worker per such core, at most as many as the quota of
  /// the control group pays for.
  /// - Throws: `MachineError` `.argument` when `threads` is not in 1 ... `maximumThreads` or a node
  ///   that was named does not exist or has no usable CPU.
  public init(_ options: PlacementOptions, topology: Topology) throws(MachineError) {
    if let threads = options.threads, !(1...Self.maximumThreads).contains(threads) {
      throw MachineError(
        .argument, "\(threads) threads: choose between 1 and \(Self.maximumThreads)")
    }
    let sites = try PlacementSites(options.order, topology)
    let usable = min(topology.usableCPUs, max(1, sites.ordered.count))
    let wanted = sites.preferredCores
    let count = options.threads ?? max(1, min(wanted, usable))

    let taken = Array(sites.ordered.prefix(count))
    let inOrder = taken.reduce(into: [Int]()) { if !$0.contains($1.node) { $0.append($1.node) } }
    var workers: [Worker] = []
    var nodes: [Node] = []
    for id in inOrder {
      let first = workers.count
      workers += taken.filter { $0.node == id }.map { Worker(cpu: $0.cpu, numaNode: id) }
      let memory = topology.numaNodes.first { $0.id == id }?.memoryNode ?? id
      nodes.append(Node(id: id, memoryNode: memory, workers: first..<workers.count))
    }
    workers += Array(repeating: Worker(cpu: nil, numaNode: nil), count: count - taken.count)
    if nodes.isEmpty {
      let id = topology.numaNodes.first?.id ?? 0
      nodes = [Node(id: id, memoryNode: id, workers: 0..<count)]
    } else {
      nodes[nodes.count - 1].workers = nodes[nodes.count - 1].workers.lowerBound..<count
    }

    self.options = options
    self.workers = workers
    self.nodes = nodes
    oversubscribed = count > usable
    var reasons = [
      Self.countReason(options, count, usable, sites, topology),
      sites.reason,
    ].compactMap(\.self)
    if wanted < sites.cores {
      reasons.append(
        count > wanted
          ? "Beyond \(Topology.counted(wanted, "worker")) the slowest kind of core serves too."
          : "The slowest kind of core is left out: a loop ends with its last chunk.")
    }
    let cores = sites.cores
    if count > cores, cores < sites.ordered.count {
      reasons.append("Beyond \(cores) cores workers share cores by hardware thread.")
    }
    if oversubscribed {
      reasons.append("More workers than the \(usable) usable CPUs: waiting workers park at once.")
    }
    if nodes.count > 1 { reasons.append("The workers span \(nodes.count) NUMA nodes.") }
    for node in nodes where node.memoryNode != node.id {
      reasons.append(
        "Node \(node.id) has no memory: its workers use that of node \(node.memoryNode).")
    }
    self.reasons = reasons
  }

  /// As above with defaults for all but the number of threads.
  public init(threads: Int? = nil, topology: Topology) throws(MachineError) {
    try self.init(PlacementOptions(threads: threads), topology: topology)
  }

  /// Whether every node owns a share of each weight, and its workers compute that.
  public var isSharded: Bool { options.memory == .shard && nodes.count > 1 }

  /// The part of `count` units (column tiles, heads) that belongs to the workers of `nodes[index]`:
  /// contiguous, in proportion to their number; the parts of all nodes cover the whole once. Equal
  /// to the union of those workers' parts in `ParallelFor.split`.
  public func share(of count: Int, node index: Int) -> Range<Int> {
    let own = nodes[index].workers
    let first = workerRange(own.lowerBound, of: workers.count, count: count)
    let last = workerRange(own.upperBound - 1, of: workers.count, count: count)
    return first.lowerBound..<last.upperBound
  }

  /// Index into `nodes` of the node that `worker` belongs to.
  public func node(of worker: Int) -> Int {
    nodes.firstIndex { $0.workers.contains(worker) } ?? 0
  }

  private static func countReason(
    _ options: PlacementOptions, _ count: Int, _ usable: Int, _ sites: PlacementSites,
    _ topology: Topology
  ) -> String {
    if let threads = options.threads {
      return "\(Topology.counted(threads, "worker")): as asked for."
    }
    let workers = Topology.counted(count, "worker")
    guard count < sites.preferredCores else {
      let kinds = sites.preferredCores < sites.cores ? " of the faster kinds" : ""
      return "\(workers): one per physical core\(kinds)."
    }
    let quota = topology.cpuQuota.map { "\($0)" } ?? "\(usable)"
    return "\(workers): the control group's quota pays for \(quota) of "
      + "\(Topology.counted(sites.preferredCores, "core"))."
  }
}

extension PlacementPlan: CustomStringConvertible {
  /// Where each worker is, how memory lies where there is a choice, and why.
  public var description: String {
    let places = workers.map { $0.cpu.map { "CPU \($0)" } ?? "unpinned" }
    let memory = nodes.count > 1 ? " Memory: \(options.memory.rawValue)." : ""
    return "\(places.joined(separator: ", ")).\(memory) \(reasons.joined(separator: " "))"
  }
}
