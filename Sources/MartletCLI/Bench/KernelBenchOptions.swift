import ArgumentParser
import Martlet
import MartletBench

/// The options that `bench gemm` and `bench attention` share.
struct KernelBenchOptions: ParsableArguments {
  @Option(help: "Numbers of threads; `all` is as many as the machine calls for.")
  var threads = WordList(["1", "all"])

  @Option(help: "Samples per row.")
  var repetitions = 10

  @OptionGroup var output: BenchOptions

  /// Runs a benchmark with a progress line and prints its report.
  ///
  /// - Parameter body: runs it with the numbers of threads, the command without list options, and
  ///   something that hears of progress.
  func run<Row: BenchRow>(
    _ name: String,
    _ body: ([Int?], _ command: String, (Double, String) -> Void) throws -> BenchReport<Row>
  ) throws {
    let counts = try threads.threadCounts()
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
