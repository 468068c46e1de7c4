import Foundation
import MartletKernels

/// A placement plan in words and numbers: what `martlet topology --plan` prints.
public struct PlacementReport: Sendable, Equatable, Encodable, CustomStringConvertible {
  /// The sizes of a model that decide what each node's share is.
  public struct Model: Sendable, Equatable {
    /// Key-value heads.
    public var kvHeads: Int
    /// Outputs of the widest weight of a layer.
    public var columns: Int

    public init(kvHeads: Int, columns: Int) {
      self.kvHeads = kvHeads
      self.columns = columns
    }
  }

  /// One worker.
  public struct Worker: Sendable, Equatable, Encodable {
    public var worker: Int
    /// Nil where the system places it.
    public var cpu: Int?
    public var node: Int?
  }

  /// One NUMA node.
  public struct Node: Sendable, Equatable, Encodable {
    public var node: Int
    /// Where its share is bound.
    public var memoryNode: Int
    public var workers: [Int]
    /// The fraction of every weight's columns that it owns, from and to: 0 and 1 where all nodes
    /// share them.
    public var columnShare: [Double]
    /// The columns of the model's widest weight that it owns.
    public var columns: [Int]?
    /// The model's key-value heads whose keys and values its workers compute.
    public var kvHeads: [Int]?
  }

  /// What was asked for, in the words of the options.
  public let placement: String
  public let numa: String
  public let workers: [Worker]
  public let nodes: [Node]
  /// Where weights lie, a sentence.
  public let weights: String
  /// Where keys and values lie, a sentence.
  public let keysAndValues: String
  /// Why the plan is as it is, a sentence each.
  public let reasons: [String]

  /// Describes `plan`, in columns and heads of `model` where one is given.
  public init(_ plan: PlacementPlan, model: Model? = nil) {
    placement = plan.options.order.description
    numa = plan.options.memory.rawValue
    workers = plan.workers.enumerated().map {
      Worker(worker: $0, cpu: $1.cpu, node: $1.numaNode)
    }
    nodes = plan.nodes.indices.map { Self.node($0, plan, model) }
    weights = Self.weights(plan)
    keysAndValues =
      plan.nodes.count > 1 && plan.options.memory != .off
      ? "Keys and values are interleaved on \(Self.list(plan.memoryNodes)): any worker may attend "
        + "with any head of any branch."
      : "Keys and values lie where the system puts them."
    reasons = plan.reasons
  }

  public var description: String {
    var lines = [
      "plan: \(Topology.counted(workers.count, "worker")) on \(Self.list(nodes.map(\.node)))"
        + " (--placement \(placement), --numa \(numa))"
    ]
    for node in nodes {
      lines.append("  NUMA node \(node.node)")
      for worker in workers where node.workers.contains(worker.worker) {
        let cpu = worker.cpu.map { "CPU \($0)" } ?? "wherever the system puts it"
        let caller = worker.worker == 0 ? ", the caller" : ""
        lines.append("    worker \(worker.worker)\(caller): \(cpu)")
      }
      let percent = node.columnShare.map { String(format: "%.1f", 100 * $0) }
      var share = "    columns: \(percent[0]) to \(percent[1]) % of every weight"
      if let columns = node.columns {
        share +=
          columns.isEmpty
          ? " (none of the widest)" : " (\(columns[0]) to \(columns[1] - 1) of the widest)"
      }
      lines.append(share)
      if let heads = node.kvHeads {
        lines.append("    KV heads: " + (heads.isEmpty ? "none" : Self.range(heads)))
      }
      lines.append("    memory: node \(node.memoryNode)")
    }
    return (lines + [weights, keysAndValues] + reasons).joined(separator: "\n")
  }

  private static func node(_ index: Int, _ plan: PlacementPlan, _ model: Model?) -> Node {
    let own = plan.nodes[index]
    let owns = plan.isSharded
    let width = Double(plan.workers.count)
    var node = Node(
      node: own.id, memoryNode: own.memoryNode, workers: Array(own.workers),
      columnShare: owns
        ? [Double(own.workers.lowerBound) / width, Double(own.workers.upperBound) / width] : [0, 1])
    guard let model else { return node }
    let tile = Kernels.columnTile
    let tiles = (model.columns + tile - 1) / tile
    let share = owns ? plan.share(of: tiles, node: index) : 0..<tiles
    node.columns =
      share.isEmpty
      ? [] : [share.lowerBound * tile, min(model.columns, share.upperBound * tile)]
    node.kvHeads = Array(owns ? plan.share(of: model.kvHeads, node: index) : 0..<model.kvHeads)
    return node
  }

  private static func weights(_ plan: PlacementPlan) -> String {
    guard plan.nodes.count > 1 else {
      return "Weights are not bound: all workers are on one node."
    }
    return switch plan.options.memory {
    case .shard:
      "Each node's columns of every weight are bound to its memory and computed by its workers, who "
        + "help others when done; activations pass through shared memory."
    case .replicate: "Every node has a copy of every weight; any worker computes any column."
    case .interleave: "Weights are interleaved on \(list(plan.memoryNodes)) page by page."
    case .off: "Weights lie where the system puts them."
    }
  }

  private static func list(_ nodes: [Int]) -> String {
    "NUMA \(nodes.count == 1 ? "node" : "nodes") " + nodes.map(String.init).joined(separator: ", ")
  }

  private static func range(_ values: [Int]) -> String {
    guard let first = values.first, let last = values.last, first != last else {
      return values.map(String.init).joined()
    }
    return "\(first) to \(last)"
  }
}
