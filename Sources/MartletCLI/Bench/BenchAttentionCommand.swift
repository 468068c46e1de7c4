import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench attention`.
struct BenchAttentionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attention",
    abstract: "Measures decoding attention over shared pages of keys and values.",
    discussion: """
      A row of the result is one step of attention in one layer: every branch sees all positions \
      and shares all pages but its last with the others.
      """)

  @Option(help: "Key-value heads.")
  var kvHeads = NumberList([8])

  @Option(help: "Query heads per key-value head.")
  var group = NumberList([1, 4, 8])

  @Option(help: "Dimensions of a head.")
  var headDimensions = 128

  @Option(help: "Positions that every branch sees.")
  var positions = NumberList([4096, 32768])

  @Option(
    help: "Types of keys and values: \(KVType.allCases.map(\.rawValue).joined(separator: ", ")).")
  var kvType = WordList(["f16"])

  @Option(help: "Branches.")
  var branches = NumberList([1, 16])

  @OptionGroup var options: KernelBenchOptions

  func run() throws {
    try ISA.validate()
    var settings = AttentionBench.Settings()
    settings.kvHeads = kvHeads.values
    settings.groups = group.values
    settings.headDimensions = headDimensions
    settings.positions = positions.values
    settings.kvTypes = try kvType.parse("--kv-type", KVType.self)
    settings.branches = branches.values
    settings.repetitions = options.repetitions
    settings.version = MartletCommand.configuration.version
    try options.run("attention", threads: ["1"]) { threads, command, progress in
      settings.threads = threads
      settings.command = command
      return try AttentionBench.run(settings, progress: progress)
    }
  }
}
