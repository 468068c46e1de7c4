import Testing

import MartletBench

/// Small runs: the rows that come out are those that were asked for, and hold together.
@Suite(.serialized) struct VerifyBenchTests {
  @Test func rowsAreAProduct() throws {
    var settings = VerifyBench.Settings()
    settings.vocabularies = [50, 600]
    settings.nodes = [1, 7]
    settings.repetitions = 2
    let report = try VerifyBench.run(settings)
    #expect(report.rows.count == 2 * 2 * VerifyBench.Verifier.allCases.count)
    for row in report.rows {
      #expect(row.samplesNs.count == 2 && row.minNs > 0 && row.minNs <= row.medianNs)
      #expect((0...Double(row.nodes)).contains(row.kept), "\(row.verifier): \(row.kept)")
      #expect(row.draftsPerPosition == (row.verifier == "chain" ? 1 : min(4, row.nodes)))
      #expect(row.variant.hasPrefix("verify_residual_f32_"))
    }
    // Drafts are near the target: most verifiers keep some of seven.
    let keeping = report.rows.filter { $0.nodes == 7 && $0.kept > 0.2 }
    #expect(Set(keeping.map(\.verifier)).isSuperset(of: ["chain", "recursive", "weighted"]))
  }

  @Test func whatCannotBeIsRefused() {
    var settings = VerifyBench.Settings()
    settings.vocabularies = [1]
    #expect(throws: BenchError.self) { try VerifyBench.run(settings) }
    settings.vocabularies = [50]
    settings.nodes = []
    #expect(throws: BenchError.self) { try VerifyBench.run(settings) }
  }
}
