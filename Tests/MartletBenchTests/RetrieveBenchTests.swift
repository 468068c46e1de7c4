import Testing

import MartletBench

/// Small runs: the rows that come out are those that were asked for, and hold together.
@Suite(.serialized) struct RetrieveBenchTests {
  @Test func rowsAreAProduct() throws {
    var settings = RetrieveBench.Settings()
    settings.keys = [2_048]
    settings.dimensions = [16, 40]
    settings.queries = [1, 3]
    settings.wanted = 64
    settings.repetitions = 3
    let report = try RetrieveBench.run(settings)
    #expect(report.rows.count == 2 * 4 * 2)
    for row in report.rows {
      #expect(row.samplesNs.count == 3 && row.queryMinNs > 0 && row.queryMinNs <= row.queryNs)
      #expect((0...1.000_001).contains(row.attentionMass) && (0...1).contains(row.recallAt_100))
      if row.index == "exact" {
        #expect(row.recallAt_100 == 1 && row.outputError == 0 && row.touched == 1)
      } else {
        #expect(row.touched < 1 && row.outputError > 0 && row.buildNs > 0 && row.insertNs > 0)
      }
    }
    // One way is chosen per keys, dimensions and queries, and it keeps to the tolerance.
    for (_, rows) in Dictionary(grouping: report.rows, by: { "\($0.dim) \($0.queries)" }) {
      let chosen = rows.filter(\.chosen)
      #expect(chosen.count == 1 && chosen[0].outputError <= settings.tolerance)
    }
    // What carries most of the weight is found.
    for row in report.rows where ["scan", "graph"].contains(row.index) {
      #expect(row.attentionMass > 0.9)
    }
  }

  @Test func whatCannotBeIsRefused() {
    for break_ in [
      { $0.keys = [2_050] }, { $0.nibbles = 12 }, { $0.dimensions = [300] }, { $0.indexes = [] },
      { $0.tolerance = 2 }, { $0.expanded = 0 },
    ] as [(inout RetrieveBench.Settings) -> Void] {
      var settings = RetrieveBench.Settings()
      break_(&settings)
      #expect(throws: BenchError.self) { try RetrieveBench.run(settings) }
    }
  }
}
