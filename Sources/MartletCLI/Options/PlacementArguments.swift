import ArgumentParser
import Martlet

extension PlacementOptions.Order: ExpressibleByArgument {}
extension PlacementOptions.Memory: ExpressibleByArgument {}

/// Where threads run and where memory lies, as options of a command.
struct PlacementArguments: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: "Worker threads; as many as the machine calls for if not given.", transform: threadCount)
  var threads: Int?

  @Option(help: "CPUs to take first: auto, compact, spread, or nodes=0,2 for NUMA nodes by number.")
  var placement: PlacementOptions.Order = .auto

  @Option(help: "Weights on several NUMA nodes: shard, replicate, interleave, off.")
  var numa: PlacementOptions.Memory = .shard

  var options: PlacementOptions {
    PlacementOptions(threads: threads, order: placement, memory: numa)
  }
}
