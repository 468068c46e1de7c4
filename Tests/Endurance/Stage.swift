import Foundation
import Martlet
import MartletSimulation

/// An engine on which runs are tried, with sessions that load plugins here and in processes of their own.
final class Stage: Sendable {
  let name: String
  let engine: Engine
  /// What owns the engine, for stages on the embedded model.
  let owner: Session?
  /// Plugins in this process.
  let open: ScalingSession
  /// Plugins in processes of their own.
  let isolated: ScalingSession
  /// Engines of other models that scorers and strategies use.
  let others: [Engine]
  /// The most pages that may be kept for later prompts.
  let keptPages: Int
  /// Draws a prompt.
  let prompt: @Sendable (inout SeededRandom) -> String
  /// Texts that may end a step or a branch.
  let words: [String]
  let constraints: [Constraint]
  let draftings: [Drafting]
  let guidances: [Guidance]
  let scorers: [String]
  /// Whether text ends by itself often enough for runs without any limit.
  let ends: Bool
  /// Whether a run gives the same when it is run again.
  let isReproducible: Bool

  /// Plugins in this process or another, given up soon after their run's end.
  let impatient: (open: ScalingSession, isolated: ScalingSession)

  /// How long a strategy that returns may go on after its run ended.
  static let grace = Duration.seconds(60)
  /// How long one that does not.
  static let shortGrace = Duration.milliseconds(100)

  /// The embedded model, opened in some way.
  init(
    _ name: String, plugins: SharedPlugins,
    _ configure: (inout Session.Configuration) throws -> Void
  ) throws {
    self.name = name
    var configuration = Session.Configuration()
    configuration.packCache = PackCacheOptions(.off)
    configuration.tuning = .off
    configuration.engine.kvBytesLimit = 64 << 20
    configuration.engine.draftMemoryBytes = 256 << 10
    try configure(&configuration)
    let session = try Session(configuration)
    owner = session
    engine = session.engine
    keptPages =
      configuration.engine.prefixes.map { $0.memoryBytes! / session.engine.backend.bytesPerPage }
      ?? 0
    ((open, isolated), impatient) = plugins.sessions(
      on: session.engine, model: session.scaling.model, session.scaling.defaults,
      session.scaling.surroundings, configuration.engine.kvBytesLimit)
    // All that runs may open: what opens later would look like memory that grows.
    others = try ["martlet-arith", "martlet-arith-prm"].map {
      try session.scaling.surroundings.open!($0).engine
    }
    let isLong = configuration.modelPath != nil
    prompt = { random in isLong ? Self.longPrompt(&random) : Self.embeddedPrompt(&random) }
    words = ["\n", " ", "=", ",", "#", "7"]
    constraints =
      isLong
      ? []
      : [
        try .regex("[0-9+*/=#, -]{1,60}"), try .regex("([0-9]+[+*-][0-9]+=[0-9]+,? ?){1,4}"),
      ]
    // Early exits do not go with every attention.
    let layers = isLong ? 1 : 2
    draftings = try ["auto", "ngram", "siblings+trie", "plugin=phrases", "exit=\(layers)"].map {
      try Drafting.parse($0)
    }
    .flatMap { drafting in
      var rejecting = drafting
      rejecting.verifier = .chain
      return drafting.sources.isEmpty ? [drafting, rejecting] : [drafting]
    }
    .compactMap { try? session.opened($0) }
    guidances = [
      Guidance(by: .text(""), scale: 1.5), try .parseContrast("exit=1"),
      Guidance(by: .text("calc 1+1?"), divergenceScale: 2),
    ]
    scorers = ["mean-logprob", "certainty", "p-true", "process-reward", "generative-judge"]
    ends = true
    // Runs take one another's pages where there are few.
    isReproducible = configuration.engine.kvBytesLimit >= 16 << 20
  }

  /// A simulated model.
  init(
    _ name: String, plugins: SharedPlugins, world: any SimulatedWorld, prompts: [String],
    words: [String], ends: Bool, cost: SimulatedCost = .init(), isPriced: Bool = false,
    contextLength: Int = 512, storagePages: Int = .max,
    _ configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws {
    self.name = name
    var configuration = EngineConfiguration()
    configuration.draftMemoryBytes = 256 << 10
    configuration.kvBytesLimit = 16 << 20
    configure(&configuration)
    let simulated = SimulatedBackend(
      world: world, contextLength: contextLength, cost: cost, storagePages: storagePages,
      name: "simulation \(name)")
    let backend: any Backend = isPriced ? PricedBackend(nearlyFree: simulated) : simulated
    engine = try Engine(backend: backend, configuration: configuration)
    owner = nil
    keptPages = configuration.prefixes.map { $0.memoryBytes! / simulated.bytesPerPage } ?? 0
    ((open, isolated), impatient) = plugins.sessions(
      on: engine, model: simulated.name, ModelDefaults(), ModelSurroundings(parameters: 1000),
      configuration.kvBytesLimit)
    others = []
    prompt = { random in random.pick(prompts) }
    self.words = words
    constraints =
      world.codec is ByteCodec
      ? [
        try .regex("[a-z ]{1,40}"), try .regex("(ab|cd)*e"),
        try .jsonSchema(
          #"{"type": "array", "items": {"type": "integer"}, "maxItems": 4}"#, whitespace: .compact),
      ] : []
    draftings = try ["auto", "ngram", "siblings", "siblings+trie"].map { try Drafting.parse($0) }
    guidances = [Guidance(by: .text("ab"), scale: 1.2)]
    scorers = ["mean-logprob", "certainty", "p-true", "generative-judge"]
    self.ends = ends
    isReproducible = !cost.sleeps && storagePages == .max
  }

  private static func embeddedPrompt(_ random: inout SeededRandom) -> String {
    func number() -> Int { random.whole(1...30) }
    switch random.whole(0...3) {
    case 0: return "calc \(number()) *\(random.whole(2...5)) -\(number()) +\(number())?"
    case 1:
      // Long enough for attention that leaves something out.
      return (0..<random.whole(2...5)).map { _ in
        "make \(number() * 3) from \(number()) \(number()) \(number())?"
      }
      .joined(separator: "\n")
    default: return "make \(number() * 3) from \(number()) \(number()) \(number())?"
    }
  }

  /// Somewhat over a thousand tokens, of which others begin alike.
  private static func longPrompt(_ random: inout SeededRandom) -> String {
    let words = ["seven", "make", "lake", "of", "under", "42", "key", "brown"]
    var source = SeededRandom(seed: UInt64(random.whole(1...3)))
    let body = (0..<270).map { _ in source.pick(words) }.joined(separator: " ")
    return body + " \(random.pick(words))?"
  }

  /// Pages that somebody holds, prompts kept for later left out.
  var pagesInUse: Int { engine.pagesInUse + others.reduce(0) { $0 + $1.pagesInUse } }

  /// What is wrong with what the engine keeps while nobody runs; nil when nothing is.
  var problem: String? {
    let statistics = engine.statistics
    if statistics.pagesInUse > 0 { return "\(statistics.pagesInUse) pages are in use" }
    if statistics.storedPages > keptPages {
      return "\(statistics.storedPages) pages are kept for prompts, at most \(keptPages) may be"
    }
    for other in others where other.pagesInUse > 0 {
      return "\(other.pagesInUse) pages of \(other.backend.name) are in use"
    }
    return nil
  }
}

/// Plugins that all stages share.
struct SharedPlugins {
  let open: PluginHost
  let isolated: PluginHost

  init(_ failing: FailingPlugins) {
    let own = PluginSearchPath.Folder(path: failing.folder, isExplicit: true, isOwn: false)
    let path = PluginSearchPath(folders: [own] + PluginSearchPath.standard().folders)
    var isolation = PluginIsolation()
    // Runs that hang have deadlines, and a busy machine may stop for long.
    isolation.stallSeconds = 0
    isolation.idleProcesses = 2
    open = PluginHost(searchPath: path)
    isolated = PluginHost(searchPath: path, isolation: isolation)
  }

  func sessions(
    on engine: Engine, model: String, _ defaults: ModelDefaults, _ surroundings: ModelSurroundings,
    _ kvBytesLimit: Int
  ) -> (
    patient: (open: ScalingSession, isolated: ScalingSession),
    impatient: (open: ScalingSession, isolated: ScalingSession)
  ) {
    func sessions(_ grace: Duration) -> (open: ScalingSession, isolated: ScalingSession) {
      func session(_ host: PluginHost) -> ScalingSession {
        ScalingSession(
          engine: engine, plugins: host, model: model, defaults: defaults,
          surroundings: surroundings, kvBytesLimit: kvBytesLimit, grace: grace)
      }
      return (session(open), session(isolated))
    }
    return (sessions(Stage.grace), sessions(Stage.shortGrace))
  }
}

/// The stages of a tour.
struct Stages {
  let all: [Stage]

  /// - Parameter folder: for what stages write.
  init(_ plugins: SharedPlugins, folder: String) throws {
    func embedded(
      _ name: String, _ configure: (inout Session.Configuration) throws -> Void = { _ in }
    ) throws -> Stage {
      try Stage(name, plugins: plugins, configure)
    }
    func attending(_ method: String) throws -> Stage {
      try embedded(method) { $0.backend.attention = try AttentionMethod.parse(method) }
    }
    // Reads what is too long for the embedded model.
    let reader = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Benchmarks/Model/martlet-long.gguf").standardizedFileURL.path
    let long = try embedded("retrieval, prefixes in memory") {
      $0.modelPath = reader
      $0.backend.attention = try AttentionMethod.parse("retrieve=0.02,from=1024,recent=64")
      $0.engine.prefixes = PrefixStoreOptions(memoryBytes: 4 << 20)
    }
    let letters = ["abc", "ab ab ab", "a", String(repeating: "abcd ", count: 30)]
    let marks = ["a", "b", "e", " "]
    let kept = try embedded("prefixes") {
      $0.engine.prefixes = PrefixStoreOptions(
        folder: "\(folder)/prefixes", memoryBytes: 1 << 20, folderBytes: 4 << 20)
    }
    let pages = try Stage(
      "simulated prefixes", plugins: plugins, world: HashedWorld(seed: 11, endBias: 1),
      prompts: letters, words: marks, ends: true
    ) { $0.prefixes = PrefixStoreOptions(memoryBytes: 40 * 4096) }
    all = [
      try embedded("embedded"), try embedded("embedded, overrun") { $0.engine.overrun = 4 },
      long, try attending("window=32"),
      try attending("h2o=64"), try attending("critic=0.5"), try attending("lazyllm=0.5"),
      try attending("sliminfer=0.5"), kept,
      try embedded("8-bit keys in a file, 60 pages") {
        $0.backend.kvType = .int8
        $0.kvFile = folder
        $0.engine.kvBytesLimit = 600 << 10
      },
      try Stage(
        "simulated", plugins: plugins, world: HashedWorld(seed: 9, endBias: 1), prompts: letters,
        words: marks, ends: true),
      try Stage(
        "simulated, endless", plugins: plugins, world: HashedWorld(seed: 3), prompts: letters,
        words: marks, ends: false
      ) { $0.overrun = 3 },
      try Stage(
        "simulated, rows nearly free", plugins: plugins,
        world: HashedWorld(seed: 4, spread: 9, endBias: 1), prompts: letters, words: marks,
        ends: true,
        isPriced: true),
      try Stage(
        "simulated, slow", plugins: plugins, world: HashedWorld(seed: 5, endBias: 1),
        prompts: letters, words: marks, ends: true,
        cost: SimulatedCost(perForward: 0.0004, sleeps: true)),
      try Stage(
        "simulated, 12 pages of storage", plugins: plugins, world: HashedWorld(seed: 6, endBias: 1),
        prompts: letters, words: marks, ends: true, storagePages: 12),
      pages,
      try Stage(
        "scripted", plugins: plugins, world: try Self.sums(), prompts: ["calc 3+4*2?"],
        words: [" 3+4=7", " guess", " hm"], ends: true),
    ]
  }

  /// Sums with a wrong and a right way to work them out; one word is one step.
  private static func sums() throws -> ScriptedWorld {
    try ScriptedWorld(
      script: """
        prompt "calc 3+4*2?"
        start: " 3+4=7" 0.45 -> half, " 4*2=8" 0.4 -> product, " guess" 0.15 -> lucky
        half: " 7*2=14" 0.8 -> wrong, " 7*2=12" 0.2 -> wrong
        product: " 3+8=11" 0.9 -> right, " 3+8=12" 0.1 -> wrong
        lucky: " hm" 0.7 -> lucky, " #11" 0.3 -> good
        right: " #11" 1 -> good
        wrong: " #14" 1 -> bad
        good: reward 1
        bad: reward 0
        """)
  }
}
