/// What a user may say about where threads run and where memory lies.
public struct PlacementOptions: Sendable, Equatable {
  /// Which CPUs are taken first.
  public enum Order: Sendable, Equatable {
    /// A node's cores, then the next node's; second hardware threads after all cores.
    case auto
    /// As few nodes as possible: a node's second hardware threads before the next node.
    case compact
    /// A core of every node in turn: few threads, all memory controllers.
    case spread
    /// As `auto`, on these NUMA nodes alone.
    case nodes([Int])
  }

  /// Where weights lie on a machine with several NUMA nodes.
  public enum Memory: String, Sendable, Equatable, CaseIterable {
    /// Every node holds its share of every weight's columns, and its workers compute those.
    case shard
    /// Every node holds a copy of every weight.
    case replicate
    /// Page by page in turn on all nodes.
    case interleave
    /// Wherever the system puts it.
    case off
  }

  /// Workers; nil for as many as the machine calls for.
  public var threads: Int?
  public var order: Order
  public var memory: Memory

  public init(threads: Int? = nil, order: Order = .auto, memory: Memory = .shard) {
    self.threads = threads
    self.order = order
    self.memory = memory
  }
}

extension PlacementOptions.Order: LosslessStringConvertible {
  /// Reads `auto`, `compact`, `spread` or `nodes=0,2`; nil for anything else.
  public init?(_ text: String) {
    switch text {
    case "auto": self = .auto
    case "compact": self = .compact
    case "spread": self = .spread
    default:
      guard text.hasPrefix("nodes=") else { return nil }
      let parts = text.dropFirst(6).split(separator: ",", omittingEmptySubsequences: false)
      let nodes = parts.compactMap { Int($0) }
      guard nodes.count == parts.count, nodes.allSatisfy({ $0 >= 0 }),
        Set(nodes).count == nodes.count
      else { return nil }
      self = .nodes(nodes)
    }
  }

  public var description: String {
    switch self {
    case .auto: "auto"
    case .compact: "compact"
    case .spread: "spread"
    case .nodes(let nodes): "nodes=" + nodes.map(String.init).joined(separator: ",")
    }
  }
}
