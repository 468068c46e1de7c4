import MartletEngine
import MartletMachine
import MartletModel
import Testing

@Suite("The same bits wherever weights lie")
struct PlacementInvarianceTests {
  /// Two imagined nodes over this machine's CPUs; the system need not know them, because binding is
  /// advice and these weights are small.
  @Test(
    "all modes, two nodes and three, equal and unequal",
    arguments: PlacementOptions.Memory.allCases, [[[0], [1]], [[0, 1], [2]], [[0], [1], [2]]])
  func everyMode(mode: PlacementOptions.Memory, nodes: [[Int]]) throws {
    let reference = try logits(TransformerFixture(seed: 11, biases: true).backend(threads: 1))
    let plan = try PlacementPlan(
      PlacementOptions(memory: mode), topology: Self.imagined(nodes))
    #expect(plan.nodes.count == nodes.count && plan.workers.count == nodes.joined().count)
    let fixture = try TransformerFixture(
      seed: 11, biases: true, placement: MemoryPlan(plan: plan, binder: { _, _ in }).weights)
    let copies = mode == .replicate ? nodes.count : 1
    #expect(fixture.parts.output.copies == copies)
    #expect(try logits(fixture.backend(plan: plan)) == reference)
  }

  private func logits(_ backend: TransformerBackend) throws -> [[Float]] {
    let driver = TransformerDriver(backend)
    let tokens = (0..<40).map { Token($0 * 7 % 53) }
    var rows = try driver.run(tokens, chunk: 33)
    rows += try driver.run(tokens, chunk: 1)
    return rows
  }

  private static func imagined(_ nodes: [[Int]]) -> Topology {
    var topology = Topology.flat(cpus: nodes.flatMap(\.self))
    topology.numaNodes = nodes.enumerated().map {
      Topology.NUMANode(id: $0, memoryBytes: 1 << 30, cpus: $1)
    }
    topology.cores = nodes.enumerated().flatMap { node, cpus in
      cpus.map { Topology.Core(cpus: [$0], package: 0, numaNode: node) }
    }
    return topology
  }
}
