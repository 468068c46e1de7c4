import MartletKernels
import MartletMachine
import Testing

import MartletBench

/// Small runs: the rows that come out are those that were asked for, and hold together.
@Suite(.serialized) struct KernelBenchTests {
  @Test func machineMeasuresOneThreadAndAll() throws {
    let team = try ThreadTeam(threads: 2)
    let report = try MachineBench.run(team: team, bytes: 8 << 20, rounds: 1, version: "")
    #expect(report.rows.count == 8)
    #expect(report.rows.allSatisfy { $0.value > 0 })
    #expect(report.rows.map(\.threads) == [1, 1, 1, 1, 2, 2, 2, 2])
  }

  @Test func gemmRowsAreAProduct() throws {
    var settings = GemmBench.Settings()
    settings.types = [.q4_0, .q6_K, .f16]
    settings.rows = [1, 3]
    settings.shapes = [(outputs: 48, depth: 256), (outputs: 33, depth: 512)]
    settings.threads = [1, 2]
    settings.cacheStates = [.warm]
    settings.openBLAS = true
    settings.repetitions = 2
    let report = try GemmBench.run(settings)
    #expect(report.rows.count == 4 * 2 * 2 * 2)
    for row in report.rows {
      #expect(row.samplesNs.count == 2 && row.minNs > 0 && row.minNs <= row.medianNs)
      #expect(row.operations == Double(2 * row.rows * row.outputs * row.depth))
      #expect(row.variant.hasPrefix("gemm_\(row.type.lowercased())_"), "\(row.variant)")
    }
    let blas = report.rows.filter { $0.numericClass == "openblas" }
    #expect(blas.count == 8 && blas.allSatisfy { $0.variant.hasSuffix("openblas") })
  }

  @Test func gemmRefusesWhatCannotBe() {
    var settings = GemmBench.Settings()
    settings.types = [.q4_K]
    settings.shapes = [(outputs: 16, depth: 96)]
    #expect(throws: BenchError.self) { try GemmBench.run(settings) }
    settings.shapes = [(outputs: 16, depth: 256)]
    settings.rows = []
    #expect(throws: BenchError.self) { try GemmBench.run(settings) }
  }

  @Test func attentionCountsSharedPagesOnce() throws {
    var settings = AttentionBench.Settings()
    settings.kvHeads = [2]
    settings.groups = [1, 4]
    settings.headDimensions = 32
    settings.positions = [1, 100]
    settings.branches = [1, 3]
    settings.repetitions = 1
    let report = try AttentionBench.run(settings)
    #expect(report.rows.count == 8)
    for row in report.rows {
      #expect(row.bytes == Double(row.positions * 2 * 2 * 32 * 2))
      #expect(row.operations == Double(4 * row.branches * row.group * 2 * 32 * row.positions))
      #expect(row.minNs > 0 && row.variant.hasPrefix("attention_f32_"), "\(row.variant)")
    }
  }
}
