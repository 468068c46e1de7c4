import ArgumentParser
import Martlet

extension NumericClass: ExpressibleByArgument {}
extension KVType: ExpressibleByArgument {}

/// The model file that the user named, else the embedded one.
func modelPath(_ named: String?) throws(CommandError) -> String {
  if let path = named ?? EmbeddedModel.path { return path }
  throw CommandError(
    .unavailable,
    "the embedded model is not beside the program (martlet_Martlet.resources); name one with --model"
  )
}

/// Which model to open and how, as options of a command.
struct ModelOptions: ParsableArguments {
  @Option(help: "The model file; the embedded model if not given.", transform: path)
  var model: String?

  @OptionGroup var placement: PlacementArguments

  @Option(help: "Numeric class: \(NumericClass.allCases.map(\.rawValue).joined(separator: ", ")).")
  var numeric: NumericClass = .portable

  @Option(
    help: """
      Element type of stored keys and values: \(KVType.allCases.map(\.rawValue).joined(separator: ", ")); \
      f32 for a float32 model and f16 for others if not given.
      """)
  var kvType: KVType?

  @Option(
    help: ArgumentHelp(
      """
      What generated tokens attend to: exact (everything), retrieve (what an index finds, within a mean \
      relative error of 0.02) or retrieve=TOLERANCE, window=N (the last N and the first 32), h2o=N (heavy hitters), \
      critic=SHARE (a share of the prompt by importance), lazyllm=SHARE or sliminfer=SHARE (a share of the \
      prompt goes through the later layers).
      """, valueName: "exact|retrieve|…"))
  var attention: String?

  @OptionGroup var memory: MemoryOptions

  @OptionGroup var prefixes: PrefixOptions

  @OptionGroup var cache: CacheOptions

  @Option(help: "Prompt tokens per pass; measured for this machine if not given.")
  var prefillChunk: Int?

  @Flag(
    name: .customLong("no-tuning"),
    help: "Measure nothing: one thread per core and prefill chunks of the usual size.")
  var withoutTuning = false

  @OptionGroup var plugins: PluginOptions

  /// Opens the model, showing progress if it takes longer than a second.
  func open(tuning: Autotuner.Effort = .quick) throws -> Session {
    try ISA.validate()
    try numeric.validate()
    var configuration = Session.Configuration(modelPath: try modelPath(model))
    configuration.placement = placement.options
    configuration.numericClass = numeric
    configuration.backend.kvType = kvType
    if let attention { configuration.backend.attention = try AttentionMethod.parse(attention) }
    memory.apply(to: &configuration)
    if let folder = try prefixes.folder() {
      configuration.engine.prefixes = PrefixStoreOptions(folder: folder)
    }
    configuration.packCache = try cache.location()
    configuration.tuning = withoutTuning ? .off : tuning
    if let prefillChunk, !(1...configuration.backend.maximumBatchTokens).contains(prefillChunk) {
      throw CommandError(
        .usage,
        "--prefill-chunk \(prefillChunk) is not possible; give 1 to "
          + "\(configuration.backend.maximumBatchTokens)")
    }
    configuration.prefillChunk = prefillChunk
    configuration.pluginDirectories = try plugins.checkedDirectories()
    configuration.isolation = try plugins.isolation()
    let progress = Progress("opening the model")
    defer { progress.finish() }
    return try Session(configuration) { progress.update($0) }
  }
}
