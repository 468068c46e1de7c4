import ArgumentParser
import Foundation
import Martlet

/// `martlet topology`.
struct TopologyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "topology",
    abstract: "Prints the CPUs, caches and memory that this process may use.",
    discussion: """
      With --plan it prints where threads and memory would go instead, for this machine or, with \
      --topology, for another.
      """)

  @Flag(help: "Print where threads run and where memory lies, and why.")
  var plan = false

  @Option(
    help: "Another machine: a file written by 'lstopo FILE.xml', or 'package:2 numa:4 core:8 pu:2'."
  )
  var topology: String?

  @Option(help: "CPUs that a control group's quota grants, in place of this machine's.")
  var quota: Double?

  @Option(help: "A model file, whose columns and KV heads the plan then divides.")
  var model: String?

  @OptionGroup var placement: PlacementArguments

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let machine = try describedMachine()
    guard plan else { return try show(machine) }
    let report = try PlacementReport(
      PlacementPlan(placement.options, topology: machine), model: model.map(Self.sizes))
    if json {
      try printJSON(report)
    } else {
      print(report)
    }
  }

  private func describedMachine() throws -> Topology {
    var machine = try topology.map(Self.read) ?? Topology.current()
    if let quota {
      guard quota > 0, quota.isFinite else {
        throw CommandError(.usage, "--quota \(quota): give a number of CPUs above 0")
      }
      machine.cpuQuota = quota
    }
    return machine
  }

  private static func read(_ description: String) throws -> Topology {
    do {
      return try Topology.read(description)
    } catch  where error.code == .topology {
      throw CommandError(.data, error.message)
    }
  }

  private func show(_ machine: Topology) throws {
    if json { return try printJSON(machine) }
    print(machine.description)
    guard topology == nil else { return }
    let granted = try HugePages.trial()
    let mode = HugePages.current().mode
    print(
      "huge pages: \(mode.isEmpty ? "unknown" : mode); a block of 16 MiB was given "
        + "\(granted >> 20) MiB of them")
  }

  /// What of a model's shape a plan divides.
  private static func sizes(_ path: String) throws -> PlacementReport.Model {
    let info = try ModelInfo(path: path)
    func number(_ name: String) -> Int? {
      info.metadata.first { $0.key.hasSuffix("." + name) }.flatMap { Int($0.value) }
    }
    guard let heads = number("attention.head_count_kv") ?? number("attention.head_count"),
      let columns = number("feed_forward_length"), heads > 0, columns > 0
    else {
      throw CommandError(
        .data, "\(path) does not say how many KV heads and feed-forward columns it has")
    }
    return PlacementReport.Model(kvHeads: heads, columns: columns)
  }
}
