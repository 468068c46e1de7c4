import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench gemm`.
struct BenchGemmCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gemm",
    abstract: "Measures matrix products by type, shape, rows, threads and cache state.",
    discussion: """
      A row of the result is one product of `rows` rows of activations with a weight of outputs × \
      depth. Cold weights alternate between copies that the last-level cache cannot hold. With \
      --model the shapes and types are those of a model's matrices.
      """)

  @Option(help: "Weight types: q4_0, q4_k, q6_k, q8_0, bf16, f16, f32, …")
  var type = WordList(["q4_0", "q8_0", "bf16"])

  @Option(help: "Rows of activations.")
  var rows = NumberList([1, 2, 4, 8, 16, 64, 512])

  @Option(help: "Shapes of the weight, outputs x depth.")
  var shape = WordList(["4096x14336"])

  @Option(help: "A model whose matrices are measured instead of --type and --shape.")
  var model: String?

  @Option(help: "Numeric classes: portable, bf16-dot, openblas.")
  var numeric = WordList(["portable"])

  @Option(help: "Cache states of the weights: warm, cold.")
  var cache = WordList(["cold"])

  @Flag(name: .customLong("openblas"), help: "Add OpenBLAS on float32 weights.")
  var openBLAS = false

  @OptionGroup var options: KernelBenchOptions

  func run() throws {
    try ISA.validate()
    var settings = GemmBench.Settings()
    settings.types = try type.values.map(weightType)
    settings.shapes = try shape.values.map(parseShape)
    if let model { try choose(model, &settings) }
    settings.rows = rows.values
    settings.numericClasses = try numeric.parse("--numeric", NumericClass.self)
    settings.cacheStates = try cache.parse("--cache", GemmBench.CacheState.self)
    settings.openBLAS = openBLAS
    settings.repetitions = options.repetitions
    settings.version = MartletCommand.configuration.version
    try options.run("gemm", threads: ["1", "all"]) { threads, command, progress in
      settings.threads = threads
      settings.command = command
      return try GemmBench.run(settings, progress: progress)
    }
  }

  private func weightType(_ name: String) throws(CommandError) -> WeightType {
    if let type = WeightType.allCases.first(where: { $0.name.lowercased() == name.lowercased() }) {
      return type
    }
    let known = WeightType.allCases.map { $0.name.lowercased() }.joined(separator: ", ")
    throw CommandError(.usage, "--type '\(name)' is no weight type; use \(known)")
  }

  private func parseShape(_ text: String) throws(CommandError) -> (outputs: Int, depth: Int) {
    let parts = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let outputs = parts[0], let depth = parts[1] else {
      throw CommandError(.usage, "--shape '\(text)' is no shape; write OUTPUTSxDEPTH: 4096x14336")
    }
    return (outputs, depth)
  }

  /// The distinct types and shapes of a model's matrices. Their product, so a mixed file gives
  /// combinations that it does not hold.
  private func choose(_ path: String, _ settings: inout GemmBench.Settings) throws {
    let file = try GGUFFile(path: path)
    let matrices = file.tensors.values.filter {
      $0.shape.count == 2 && $0.name != "token_embd.weight" && $0.type.weightType != nil
    }
    let types = Set(matrices.compactMap(\.type.weightType))
    settings.types = WeightType.allCases.filter(types.contains)
    let shapes = Set(matrices.map { [$0.shape[1], $0.shape[0]] })
    settings.shapes = shapes.sorted { ($0[0], $0[1]) < ($1[0], $1[1]) }.map { ($0[0], $0[1]) }
  }
}
