import Foundation
import MartletMachine
import Testing

import MartletBench

@Suite struct BenchReportTests {
  private struct Row: BenchRow {
    var tokensPerS: Double
    var samplesNs: [Double]
    var note: String
    static let header = ["tokens/s"]
    var cells: [String] { ["\(tokensPerS)"] }
  }

  private func report() throws -> BenchReport<Row> {
    BenchReport(
      context: BenchContext(bench: "test", version: "9", team: try ThreadTeam(threads: 1)),
      rows: [
        Row(tokensPerS: 1.5, samplesNs: [1, 2], note: "a, \"b\""),
        Row(tokensPerS: 2, samplesNs: [], note: ""),
      ])
  }

  @Test func jsonIsOneObject() throws {
    let text = try report().json()
    let object = try #require(
      JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    #expect(Set(object.keys) == ["schema", "context", "rows"])
    let context = try #require(object["context"] as? [String: Any])
    #expect(context["bench"] as? String == "test")
    #expect(context["threads"] as? Int == 1)
    #expect(context["cpu"] != nil && context["isa"] != nil && context["host_load"] != nil)
    let rows = try #require(object["rows"] as? [[String: Any]])
    #expect(rows[0]["tokens_per_s"] as? Double == 1.5)
    #expect(rows[0]["samples_ns"] as? [Double] == [1, 2])
  }

  @Test func csvQuotesAndJoins() throws {
    #expect(
      try report().csv() == """
        note,samples_ns,tokens_per_s
        "a, ""b\""",1;2,1.5
        ,,2
        """)
  }
}
