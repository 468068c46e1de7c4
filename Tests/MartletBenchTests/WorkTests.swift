import MartletKernels
import Testing

import MartletBench

/// The formula of the limit, by hand on round figures.
@Suite struct WorkTests {
  private let limits = MachineLimits(
    threads: 2, readGbPerS: 50, fmaF32Gops: 500, dotBf16Gops: 1_000, dotInt8Gops: 2_000)
  private let matrix = MatrixShape(type: .q4_0, outputs: 1_000, depth: 3_200)

  @Test func bytesAreThoseOfTheFile() {
    #expect(matrix.bytes == 1_000 * 100 * 18)
    #expect(MatrixShape(type: .bf16, outputs: 3, depth: 5).bytes == 30)
    #expect(MatrixShape(type: .q4_K, outputs: 2, depth: 512).bytes == 2 * 2 * 144)
  }

  @Test func memoryLimitsFewRowsAndArithmeticMany() {
    var one = Work()
    one.addProduct(matrix, rows: 1)
    #expect(one.totalOperations == 6.4e6)
    #expect(abs(one.seconds(limits) - 1.8e6 / 50e9) < 1e-12)
    var many = Work()
    many.addProduct(matrix, rows: 100)
    #expect(abs(many.seconds(limits) - 6.4e8 / 2e12) < 1e-12)
  }

  @Test func eachTypeHasItsUnit() {
    func seconds(_ type: WeightType) -> Double {
      var work = Work()
      work.addProduct(MatrixShape(type: type, outputs: 1_024, depth: 1_024), rows: 1_024)
      return work.seconds(limits)
    }
    let operations = 2 * 1_024.0 * 1_024 * 1_024
    #expect(abs(seconds(.q6_K) - operations / 2e12) < 1e-9)
    #expect(abs(seconds(.bf16) - operations / 1e12) < 1e-9)
    #expect(abs(seconds(.f16) - operations / 5e11) < 1e-9)
  }

  @Test func unitsRunOneAfterAnother() {
    var work = Work()
    work.operations = [.int8: 2e12, .float32: 5e11]
    #expect(abs(work.seconds(limits) - 2) < 1e-9)
  }

  /// A CPU without int8 or bf16 dot products can still use its float32 units for them.
  @Test func noUnitIsSlowerThanFloat32() {
    let plain = MachineLimits(
      threads: 1, readGbPerS: 10, fmaF32Gops: 100, dotBf16Gops: 30, dotInt8Gops: 20)
    #expect(plain.operationsPerSecond(.int8) == 1e11)
    #expect(plain.operationsPerSecond(.bfloat16) == 1e11)
  }

  @Test func theBestOfTwoMeasurementsIsKeptValueByValue() {
    var best = limits
    best.keepBest(
      MachineLimits(
        threads: 2, readGbPerS: 60, fmaF32Gops: 400, dotBf16Gops: 1_100, dotInt8Gops: 1_900,
        readLoop: "other"))
    #expect(best.readGbPerS == 60 && best.readLoop == "other")
    #expect(best.fmaF32Gops == 500 && best.dotBf16Gops == 1_100 && best.dotInt8Gops == 2_000)
  }
}
