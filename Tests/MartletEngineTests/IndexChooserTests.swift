import MartletEngine
import Testing

/// Which index is used at a length, from what was measured.
struct IndexChooserTests {
  private let chooser = IndexChooser([
    .init(index: .exact, keys: 8_192, nanoseconds: 100, error: 0),
    .init(index: .exact, keys: 131_072, nanoseconds: 1_600, error: 0),
    .init(index: .exact, keys: 1_048_576, nanoseconds: 12_800, error: 0),
    .init(index: .scan, keys: 8_192, nanoseconds: 110, error: 0.01),
    .init(index: .scan, keys: 131_072, nanoseconds: 200, error: 0.02),
    .init(index: .scan, keys: 1_048_576, nanoseconds: 1_000, error: 0.02),
    .init(index: .graph, keys: 131_072, nanoseconds: 300, error: 0.02),
    .init(index: .graph, keys: 1_048_576, nanoseconds: 500, error: 0.03),
    .init(index: .pages, keys: 1_048_576, nanoseconds: 10, error: 0.9),
  ])

  @Test(
    "the fastest that keeps to the tolerance",
    arguments: [
      // Short: a search is no faster than reading all.
      (8_192, 0.05, IndexChooser.Index.exact), (4_096, 0.05, .exact),
      (131_072, 0.05, .scan), (131_072, 0.01, .exact),
      (1_048_576, 0.05, .graph), (1_048_576, 0.02, .scan), (1_048_576, 0.9, .pages),
      // Between: times in proportion, the larger error. Here a scan's is 507 and a graph's 377.
      (524_288, 0.05, .graph), (524_288, 0.02, .scan), (65_536, 0.02, .scan),
      (65_536, 0.015, .exact),
      // Beyond what was measured nobody knows.
      (2_097_152, 0.9, .exact),
    ])
  func choices(keys: Int, tolerance: Double, expected: IndexChooser.Index) {
    #expect(chooser.choose(keys: keys, tolerance: tolerance) == expected)
  }

  @Test func nothingMeasuredIsExact() {
    #expect(IndexChooser([]).choose(keys: 100_000, tolerance: 1) == .exact)
    let scan = IndexChooser([.init(index: .scan, keys: 8, nanoseconds: 1, error: 0)])
    #expect(scan.choose(keys: 8, tolerance: 1) == .exact)
  }

  /// The last measurement of a length counts; equally fast ones go to the plainer.
  @Test func laterMeasurementsReplaceEarlierOnes() {
    let twice = IndexChooser([
      .init(index: .exact, keys: 8, nanoseconds: 5, error: 0),
      .init(index: .scan, keys: 8, nanoseconds: 1, error: 0),
      .init(index: .scan, keys: 8, nanoseconds: 5, error: 0),
    ])
    #expect(twice.choose(keys: 8, tolerance: 1) == .exact)
  }
}
