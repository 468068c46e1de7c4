import Foundation
import Testing

/// `martlet topology --plan` for machines that are not here.
@Suite struct TopologyTests {
  @Test func plansForAnotherMachine() throws {
    let report = try Tool.run([
      "topology", "--plan", "--json", "--topology", "package:2 numa:4 core:8 pu:2", "--threads",
      "16", "--placement", "spread", "--numa", "replicate",
    ]).object()
    let nodes = try #require(report["nodes"] as? [[String: Any]])
    #expect(nodes.count == 8)
    #expect(nodes.allSatisfy { ($0["workers"] as? [Int])?.count == 2 })
    #expect((report["weights"] as? String)?.contains("copy") == true)
    #expect(report["numa"] as? String == "replicate")
  }

  @Test func thisMachinesPlanNamesEveryWorker() throws {
    let output = try Tool.run(["topology", "--plan", "--threads", "2"])
    #expect(output.code == 0 && output.out.contains("worker 1: "))
  }

  @Test(arguments: [
    (["--topology", "nonsense"], 64), (["--topology", "/nowhere.xml"], 66),
    (["--topology", "/etc/passwd"], 65), (["--quota", "0"], 64),
    (["--plan", "--threads", "0"], 64),
    (["--plan", "--placement", "nodes=99"], 64), (["--plan", "--numa", "split"], 64),
  ])
  func refusals(arguments: [String], code: Int) throws {
    let output = try Tool.run(["topology"] + arguments)
    #expect(output.code == Int32(code), "\(output.error)")
    #expect(!output.error.isEmpty)
  }
}
