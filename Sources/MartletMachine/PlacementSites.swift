/// All CPUs that a plan may use, in the order in which they are given to workers.
struct PlacementSites {
  struct Site: Equatable {
    var cpu: Int
    var node: Int
  }

  /// Every usable CPU once.
  let ordered: [Site]
  /// Physical cores among them.
  let cores: Int
  /// Physical cores that a plan takes by itself: all but the slowest kind.
  let preferredCores: Int
  /// What the order means here, where it means anything.
  let reason: String?

  init(_ order: PlacementOptions.Order, _ topology: Topology) throws(MachineError) {
    let all = Dictionary(grouping: topology.cores, by: \.numaNode)
    var nodes = all.keys.sorted {
      let (left, right) = (all[$0]?.count ?? 0, all[$1]?.count ?? 0)
      return left != right ? left > right : $0 < $1
    }
    if case .nodes(let named) = order {
      for node in named where all[node] == nil {
        throw MachineError(
          .argument,
          "NUMA node \(node) has no CPU that this process may use; choose among "
            + nodes.sorted().map(String.init).joined(separator: ","))
      }
      nodes = named
    }
    let usable = nodes.flatMap { all[$0] ?? [] }
    let slowest = usable.map(\.kind).min() ?? 0
    let preferred = usable.filter { $0.kind > slowest }
    cores = usable.count
    preferredCores = preferred.isEmpty ? usable.count : preferred.count
    reason = Self.reason(order, nodes: nodes)

    // Rounds of one hardware thread of each core, faster kinds first.
    var rounds: [[Site]] = []
    let threadsPerCore = usable.map(\.cpus.count).max() ?? 0
    for thread in 0..<threadsPerCore {
      for kind in Set(usable.map(\.kind)).sorted(by: >) {
        let sites = nodes.map { node in
          (all[node] ?? []).filter { $0.kind == kind && $0.cpus.count > thread }
            .map { Site(cpu: $0.cpus[thread], node: node) }
        }
        rounds.append(order == .spread ? Self.interleaved(sites) : sites.flatMap(\.self))
      }
    }
    let sites = rounds.flatMap(\.self)
    ordered =
      order == .compact ? nodes.flatMap { node in sites.filter { $0.node == node } } : sites
  }

  /// One of each list in turn until all are used up.
  private static func interleaved(_ lists: [[Site]]) -> [Site] {
    (0..<(lists.map(\.count).max() ?? 0)).flatMap { index in
      lists.filter { $0.count > index }.map { $0[index] }
    }
  }

  private static func reason(_ order: PlacementOptions.Order, nodes: [Int]) -> String? {
    switch order {
    case .nodes:
      return "Only NUMA \(nodes.count == 1 ? "node" : "nodes") "
        + nodes.map(String.init).joined(separator: ", ") + ", as asked for."
    case .spread where nodes.count > 1:
      return "Workers take a core of every node in turn, so that all memory controllers serve."
    case .compact where nodes.count > 1:
      return "Workers fill a node, second hardware threads included, before the next."
    default: return nil
    }
  }
}
