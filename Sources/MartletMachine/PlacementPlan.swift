/// Which CPU each worker of a team runs on, and why.
public struct PlacementPlan: Sendable, Equatable, CustomStringConvertible {
  /// One worker's place.
  public struct Worker: Sendable, Equatable {
    /// The CPU to pin to, or nil to let the system place it.
    public var cpu: Int?
    /// The NUMA node of that CPU, nil without one.
    public var numaNode: Int?
  }

  /// The most threads a plan accepts.
  public static let maximumThreads = 4096

  /// One entry per worker; the first is the caller's.
  public let workers: [Worker]
  /// More workers than CPUs that can run at once: nobody should spin.
  public let oversubscribed: Bool
  /// Why the plan is as it is, a sentence each.
  public let reasons: [String]

  /// Places `threads` workers: one per physical core first, a NUMA node at a time, the node with the
  /// most cores first; then second hardware threads; what remains is left to the system.
  ///
  /// - Parameter threads: nil for one per physical core, at most the CPUs that the quota pays for.
  /// - Throws: `MachineError` `.argument` when `threads` is not in 1 ... `maximumThreads`.
  public init(threads: Int? = nil, topology: Topology) throws(MachineError) {
    if let threads, !(1...Self.maximumThreads).contains(threads) {
      throw MachineError(
        .argument, "\(threads) threads: choose between 1 and \(Self.maximumThreads)")
    }
    let cores = max(1, topology.cores.count)
    let usable = topology.usableCPUs
    let count = threads ?? min(cores, usable)

    var reasons: [String] = []
    if let threads {
      reasons.append("\(threads) workers were asked for.")
    } else if usable < cores {
      reasons.append("\(count) workers: the CPU quota pays for \(usable) of \(cores) cores.")
    } else {
      reasons.append("\(count) workers: one per physical core.")
    }

    let places = Self.places(topology)
    workers = (0..<count).map {
      $0 < places.count ? places[$0] : Worker(cpu: nil, numaNode: nil)
    }
    oversubscribed = count > usable
    if count > cores, cores < places.count {
      reasons.append("Beyond \(cores) cores workers share cores by hardware thread.")
    }
    if oversubscribed {
      reasons.append("More workers than the \(usable) usable CPUs: waiting workers park at once.")
    }
    let nodes = Set(workers.compactMap(\.numaNode)).count
    if nodes > 1 { reasons.append("The workers span \(nodes) NUMA nodes.") }
    self.reasons = reasons
  }

  /// All CPUs in the order in which they are given to workers.
  private static func places(_ topology: Topology) -> [Worker] {
    let coresByNode = Dictionary(grouping: topology.cores, by: \.numaNode)
    let nodes = coresByNode.keys.sorted {
      let (left, right) = (coresByNode[$0]?.count ?? 0, coresByNode[$1]?.count ?? 0)
      return left != right ? left > right : $0 < $1
    }
    let threadsPerCore = topology.cores.map(\.cpus.count).max() ?? 0
    return (0..<threadsPerCore).flatMap { thread in
      nodes.flatMap { node in
        (coresByNode[node] ?? []).filter { $0.cpus.count > thread }.map {
          Worker(cpu: $0.cpus[thread], numaNode: node)
        }
      }
    }
  }

  public var description: String {
    let places = workers.map { $0.cpu.map { "CPU \($0)" } ?? "unpinned" }
    return "\(places.joined(separator: ", ")). \(reasons.joined(separator: " "))"
  }
}
