import ArgumentParser
import Martlet
import MartletBench

/// The options that `bench gemm` and `bench attention` share.
struct KernelBenchOptions: ParsableArguments {
  @Option(
    help:
      "Numbers of threads; `all` is as many as the machine calls for (attention: 1; gemm: 1,all).")
  var threads: WordList?

  @Option(help: "Samples per row.")
  var repetitions = 10

  @OptionGroup var output: BenchOptions

  /// Runs a benchmark with a progress line and prints its report.
  ///
  /// - Parameters:
  ///   - standard: numbers of threads if none are given.
  ///   - body: runs it with the numbers of threads, the command without list options, and something
  ///     that hears of progress.
  func run<Row: BenchRow>(
    _ name: String, threads standard: [String],
    _ body: ([Int?], _ command: String, (Double, String) -> Void) throws -> BenchReport<Row>
  ) throws {
    let counts = try (threads ?? WordList(standard)).threadCounts()
    let progress = Progress("measuring")
    let report = try output.refusing {
      try body(counts, "martlet bench \(name) --repetitions \(repetitions)") {
        progress.update($0, note: $1)
      }
    }
    progress.finish()
    try output.show(report)
  }
}
