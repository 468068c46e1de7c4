import ArgumentParser
import Foundation
import Martlet

/// `martlet topology`.
struct TopologyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "topology",
    abstract: "Prints the CPUs, caches and memory that this process may use.")

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let topology = try Topology.current()
    if json {
      try printJSON(topology)
    } else {
      print(topology.description)
    }
  }
}
