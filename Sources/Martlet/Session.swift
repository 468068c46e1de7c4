import Foundation
import Logging
import MartletEngine
import MartletKernels
import MartletMachine
import MartletModel
import MartletScaling
import Synchronization

/// A model opened on this machine, ready to run prompts under strategies.
///
/// ```swift
/// let session = try Session()
/// let result = try await session.run(
///   "make 46 from 3 7 25?", strategy: "best-of-n", options: ["n": "16"])
/// print(result.answer)
/// ```
///
/// A session may be shared between tasks; their runs decode together.
public final class Session: Sendable {
  /// What can be chosen when a session opens.
  public struct Configuration: Sendable {
    /// A GGUF file; nil for ``EmbeddedModel``.
    public var modelPath: String?
    /// Where threads run and where memory lies.
    public var placement = PlacementOptions()
    /// Worker threads; nil for one per usable physical core.
    public var threads: Int? {
      get { placement.threads }
      set { placement.threads = newValue }
    }
    /// How products round, for the whole session.
    public var numericClass: NumericClass = .portable
    /// Where packed weights and measurements are kept between starts: in the user's cache folder if
    /// not set otherwise. Measurements stay there too when weights are kept beside the model.
    public var packCache = PackCacheOptions.standard
    /// How much is measured to choose threads and prefill chunks that are not given.
    public var tuning = Autotuner.Effort.quick
    /// Prompt tokens per pass; nil for a measured choice, else ``EngineConfiguration/prefillChunk``.
    public var prefillChunk: Int?
    /// Limits of the engine.
    public var engine = EngineConfiguration()
    /// A folder, or a file that does not exist yet, in which keys and values lie in place of memory: they
    /// may be more than memory holds. ``EngineConfiguration/kvBytesLimit`` bytes are reserved there when
    /// the session opens, and given back when it goes. No text depends on it.
    public var kvFile: String?
    /// What the transformer backend may take.
    public var backend = TransformerBackend.Options()
    /// Further folders in which to look for plugins.
    public var pluginDirectories: [String] = []
    /// Runs plugins in processes of their own; nil for this process.
    public var isolation: PluginIsolation?

    /// The defaults, for one model.
    public init(modelPath: String? = nil) { self.modelPath = modelPath }
  }

  /// The model.
  public let model: TransformerModel
  /// Text to tokens and back.
  public let tokenizer: Tokenizer
  /// Threads and pages, one forward pass for everybody.
  public let engine: Engine
  /// Strategies, scorers and extractors that were found.
  public let plugins: PluginHost
  /// Runs requests on the engine.
  public let scaling: ScalingSession
  /// The threads that compute.
  public let team: ThreadTeam
  /// What was chosen for this model on this machine.
  public let tuning: Tuning

  let numericClass: NumericClass
  let packCache: PackCacheOptions
  /// The most bytes of keys and values that one draft model holds.
  let draftBytesLimit: Int
  /// What was opened to draft.
  let drafters = Mutex<[Drafting.Model: any Drafter]>([:])
  /// What was opened to guide, by file.
  let amateurs = Mutex<[String: AmateurModel]>([:])

  /// Opens a model.
  ///
  /// ``model``'s `opening` says where the time went.
  ///
  /// - Parameter progress: called with 0…1 while weights are packed, on the calling thread.
  /// - Throws: `ModelError` for the file, `MachineError` for threads, `EngineError` for the engine.
  public init(
    _ configuration: Configuration = Configuration(),
    progress: (@Sendable (Double) -> Void)? = nil
  ) throws {
    guard let path = configuration.modelPath ?? EmbeddedModel.path else {
      throw ModelError(
        .file,
        "the embedded model is not beside the program (martlet_Martlet.resources); "
          + "name a model file")
    }
    func makeTeam(_ threads: Int?) throws -> ThreadTeam {
      var options = configuration.placement
      options.threads = threads
      return try ThreadTeam(plan: PlacementPlan(options, topology: Topology.current()))
    }
    func load(_ team: ThreadTeam) throws -> TransformerModel {
      try TransformerModel.shared(
        path: path, numericClass: configuration.numericClass, team: team,
        placement: MemoryPlan(plan: team.plan).weights, packCache: configuration.packCache,
        progress: progress)
    }
    numericClass = configuration.numericClass
    packCache = configuration.packCache
    draftBytesLimit = configuration.engine.kvBytesLimit / 8
    let packers = try makeTeam(configuration.threads)
    let first = try configuration.tuned(load(packers), packers, makeTeam)
    (tokenizer, team) = (first.tokenizer, first.team)
    model = try first.model ?? load(team)
    let parts = TransformerParts(model: model, tokenizer: tokenizer)
    var options = configuration.backend
    tuning = try configuration.chooseRetrieval(first.tuning, parts, team, &options)
    options.file = configuration.kvFile.map {
      .init(path: $0, byteCount: configuration.engine.kvBytesLimit)
    }
    options.placement = options.placement ?? MemoryPlan(plan: team.plan).pages
    let backend = try TransformerBackend(parts: parts, team: team, options: options)
    var limits = configuration.engine
    limits.prefillChunk = tuning.prefillChunk
    limits.tuningFolder = limits.tuningFolder ?? configuration.tuningStore?.path
    engine = try Engine(backend: backend, configuration: limits)
    plugins = PluginHost(
      searchPath: .standard(directories: configuration.pluginDirectories),
      isolation: configuration.isolation)
    let others = OtherModels(
      team: team, numericClass: numericClass, packCache: packCache,
      byteLimit: configuration.engine.kvBytesLimit / 4)
    var surroundings = ModelSurroundings(model, tokenizer)
    surroundings.attention = options.attention.name
    surroundings.open = { name throws(ScalingError) in try others.open(name) }
    var defaults = ModelDefaults(model.metadata)
    defaults.options[Choices.optionName] = Choices.text(for: model)
    scaling = ScalingSession(
      engine: engine, plugins: plugins, model: backend.name, defaults: defaults,
      surroundings: surroundings,
      kvBytesLimit: configuration.engine.kvBytesLimit)
  }

  /// Runs one prompt under a strategy.
  ///
  /// - Parameters:
  ///   - strategy: a strategy's id; `session.plugins.components` lists them.
  ///   - options: the strategy's options, as its manifest declares them.
  ///   - budget: tokens, which are never exceeded, and seconds, after which no token is drawn.
  ///   - seed: the same seed gives the same result.
  /// - Throws: `ScalingError`; a budget that ends is no error, see ``RunResult/stoppedBecause``.
  public func run(
    _ prompt: String, strategy: String = BuiltInStrategy.greedy.rawValue,
    options: [String: String] = [:], budget: Budget = Budget(),
    sampling: SamplingOptions? = nil, seed: UInt64 = 0
  ) async throws -> RunResult {
    var request = RunRequest(prompt: prompt, strategy: strategy)
    request.options = options
    request.budget = budget
    request.seed = seed
    request.sampling = sampling ?? Self.defaultSampling
    return try await scaling.run(request)
  }

  /// Temperature 0.8: warm enough for the branches of a strategy to differ.
  public static let defaultSampling: SamplingOptions = {
    var sampling = SamplingOptions()
    sampling.temperature = 0.8
    return sampling
  }()
}

extension Session.Configuration {
  /// Where measurements are kept, nil for nowhere.
  var tuningStore: TuningStore? {
    switch packCache.location {
    case .off: nil
    case .standard, .beside: CacheFolder.standard().map { TuningStore(path: $0) }
    case .folder(let path): TuningStore(path: path)
    }
  }

  /// What tuning on a loaded model gives.
  struct Tuned {
    /// Nil where weights lie near the workers of another plan than the chosen one's: nobody else
    /// holds them when they are loaded again.
    let model: TransformerModel?
    let tokenizer: Tokenizer
    let tuning: Tuning
    let team: ThreadTeam
  }

  /// Chooses what is not given: threads with their team, and prefill chunks.
  func tuned(
    _ model: TransformerModel, _ packers: ThreadTeam, _ makeTeam: (Int?) throws -> ThreadTeam
  ) throws -> Tuned {
    let tokenizer = try Tokenizer(metadata: model.metadata)
    let parts = TransformerParts(model: model, tokenizer: tokenizer)
    let (chosen, team) = try Autotuner(parts: parts, options: backend, store: tuningStore)
      .tune(standardTuning(packers), effort: tuning, team: packers) { try makeTeam($0) }
    Logger(label: "martlet.session").info("\(parts.name) runs with \(chosen)")
    let isMisplaced =
      MemoryPlan(plan: packers.plan).weights != nil && team.plan.nodes != packers.plan.nodes
    return Tuned(
      model: isMisplaced ? nil : model, tokenizer: tokenizer, tuning: chosen, team: team)
  }

  /// Where retrieval begins, if tokens retrieve: into `options` and what is reported.
  func chooseRetrieval(
    _ chosen: Tuning, _ parts: TransformerParts, _ team: ThreadTeam,
    _ options: inout TransformerBackend.Options
  ) throws -> Tuning {
    guard case .retrieve(var retrieval) = options.attention else { return chosen }
    let (found, origin) =
      try Autotuner(parts: parts, options: backend, store: tuningStore)
      .retrievalCrossing(retrieval, effort: tuning, team: team) ?? (.standard, .standard)
    retrieval.minimumPositions = found.positions
    retrieval.mostPercent = found.mostPercent
    options.attention = .retrieve(retrieval)
    var tuning = chosen
    (tuning.retrieveFrom, tuning.retrieveFromOrigin) = (found.positions, origin)
    tuning.retrieveMost = found.mostPercent
    Logger(label: "martlet.session").info("\(parts.name) runs with \(tuning)")
    return tuning
  }

  /// What is given, and for the rest what holds without measurements.
  func standardTuning(_ team: ThreadTeam) -> Tuning {
    Tuning(
      threads: team.width, threadsOrigin: threads == nil ? .standard : .given,
      prefillChunk: prefillChunk ?? engine.prefillChunk,
      prefillChunkOrigin: prefillChunk == nil ? .standard : .given)
  }
}

extension ModelDefaults {
  /// The components that a model file names as suited to it, `martlet.default_scorer` and
  /// `martlet.default_extractor`; files of other makers name none.
  init(_ metadata: GGUFMetadata) {
    func named(_ key: String) -> String? {
      metadata.contains(key) ? try? metadata.string(key) : nil
    }
    var options: [String: String] = [:]
    for name in ["step", "stop_thinking", "refine"] { options[name] = named("martlet.\(name)") }
    self.init(
      scorers: [named("martlet.default_scorer")].compactMap(\.self),
      extractor: named("martlet.default_extractor"), options: options)
  }
}
