import CMartlet

/// Decides which branches of a run to extend, fork, score, drop and answer from.
///
/// One value is made per run and used on one thread.
public protocol Strategy: SendableMetatype {
  /// The component's id, as in the manifest.
  static var id: String { get }
  /// Reads the options of the run.
  init(_ run: RunContext) throws
  /// Does the work. The answer named so far counts however it ends.
  mutating func run(_ run: RunContext) throws
}

/// What a scorer or an extractor is shown.
public struct GeneratedText: Sendable, Equatable {
  /// The user's prompt.
  public let prompt: String
  /// The generated text.
  public let text: String
  /// Untempered log-probabilities, one per generated token, nats; empty for an extractor.
  public let logprobs: [Float]
  /// How many tokens were generated.
  public let tokenCount: Int
  /// True when the sequence ended by itself.
  public let isFinished: Bool

  /// Describes a text; tests of scorers and extractors use this.
  public init(
    prompt: String, text: String, logprobs: [Float] = [], tokenCount: Int? = nil,
    isFinished: Bool = true
  ) {
    self.prompt = prompt
    self.text = text
    self.logprobs = logprobs
    self.tokenCount = tokenCount ?? logprobs.count
    self.isFinished = isFinished
  }
}

/// Judges how good a text is as an answer to its prompt; higher is better.
///
/// Called from any thread, also concurrently.
public protocol Scorer: Sendable {
  /// The component's id, as in the manifest.
  static var id: String { get }
  /// Reads the options of the run.
  init(_ component: ComponentContext) throws
  /// A finite score.
  /// - Throws: `unsupported` when it cannot judge this prompt.
  func score(_ generated: GeneratedText) throws -> Double
}

/// Judges branches by reading them with a model: this run's or another one. Higher is better.
///
/// One value is made per run and used on the run's thread. What it makes it may keep between calls, so
/// that a text whose beginning it has read is read on, not again; the host takes back what is left.
public protocol BranchScorer: SendableMetatype {
  /// The component's id, as in the manifest.
  static var id: String { get }
  /// Reads the options of the run.
  init(_ run: RunContext) throws
  /// A finite score for each branch. They stay as they are: fork one, or reopen it, to append.
  /// - Throws: `unsupported` when it cannot judge this prompt.
  mutating func score(_ branches: [Branch], _ run: RunContext) throws -> [Double]
}

/// Finds the final answer inside a text, in a canonical form fit for voting.
///
/// Called from any thread, also concurrently.
public protocol Extractor: Sendable {
  /// The component's id, as in the manifest.
  static var id: String { get }
  /// Reads the options of the run.
  init(_ component: ComponentContext) throws
  /// The answer, or nil when the text holds none.
  func extract(_ generated: GeneratedText) throws -> String?
}

/// A sequence that is to be guessed on.
public struct DraftSequence: Sendable, Equatable {
  /// Stays the same while the sequence is extended token by token; its tokens may still become other
  /// ones, or fewer.
  public let id: UInt64
  /// All tokens, prompt included.
  public let tokens: [Int32]
  /// The most guesses in a row that can be of use.
  public let depth: Int
}

/// One guessed token.
public struct Guess: Sendable, Equatable {
  /// Its id.
  public let token: Int32
  /// Index of the earlier guess that it follows; -1 for the sequence itself.
  public let parent: Int
  /// That it follows its parent, 0…1.
  public let probability: Float

  /// A guess.
  public init(_ token: Int32, after parent: Int = -1, probability: Float) {
    self.token = token
    self.parent = parent
    self.probability = probability
  }
}

/// Guesses the tokens that come next, so that several are processed in one forward pass. No text depends
/// on it. Used on the engine's own thread; while it works nobody decodes.
public protocol Drafter: SendableMetatype {
  /// The component's id, as in the manifest.
  static var id: String { get }
  /// Reads the options.
  init(_ component: ComponentContext) throws
  /// At most `most` guesses at how a sequence goes on, parents first, the best of siblings first.
  mutating func guess(_ sequence: DraftSequence, most: Int) throws -> [Guess]
}

/// The choice of a token that is to be made.
public struct SamplingChoice: Sendable, Equatable {
  /// All tokens of the branch, prompt included.
  public let tokens: [Int32]
  /// How many of them were generated.
  public let generatedTokens: Int
  /// Random bits of this choice alone, the same on every schedule and machine.
  public let noise: UInt64

  /// A choice; tests of samplers use this.
  public init(tokens: [Int32], generatedTokens: Int = 0, noise: UInt64 = 0) {
    self.tokens = tokens
    self.generatedTokens = generatedTokens
    self.noise = noise
  }
}

/// Changes the model's logits before the run's sampling rules see them. What it writes is a function of
/// its arguments and options. Used on the engine's own thread; while it works nobody decodes.
public protocol Sampler: SendableMetatype {
  /// The component's id, as in the manifest.
  static var id: String { get }
  /// Reads the options.
  init(_ component: ComponentContext) throws
  /// Changes a row, one logit for each token of the vocabulary, in place. Minus infinity forbids a token;
  /// at least one stays finite.
  func process(_ logits: inout MutableSpan<Float>, for choice: SamplingChoice) throws
}

/// A note that a memory found.
public struct Note: Sendable, Equatable {
  /// What it was stored under.
  public let key: String
  /// What it says.
  public let text: String
  /// How well it suits the query; finite, higher is better.
  public let score: Double

  /// A note.
  public init(key: String, text: String, score: Double) {
    (self.key, self.text, self.score) = (key, text, score)
  }
}

/// Keeps texts under keys from one run to the next, and finds those that suit a query. One value serves a
/// whole session, one call at a time, on any thread. What it gives is a function of what was stored, in
/// which order, of the query and of its options.
public protocol Memory: SendableMetatype {
  /// The component's id, as in the manifest.
  static var id: String { get }
  /// Reads the options, and what an earlier session left.
  init(_ component: ComponentContext) throws
  /// Keeps a text under a key.
  mutating func store(_ text: String, under key: String) throws
  /// At most `top` notes, best first, equal ones in the order in which they were stored.
  mutating func recall(_ query: String, top: Int) throws -> [Note]
}

/// One component of a plugin, by the type that implements it.
public struct Component: Sendable {
  let kind: martlet_component_kind
  let id: String
  var scoresBranches = false
  /// Makes an instance: a `StrategyInstance`, `ScorerInstance` or `ExtractorInstance`, by kind.
  let make: @Sendable (HostTable) throws -> AnyObject

  /// A strategy.
  public static func strategy<S: Strategy>(_ type: S.Type) -> Component {
    Component(kind: MARTLET_KIND_STRATEGY, id: S.id) { table in
      let context = RunContext(table: table)
      var strategy = try S(context)
      return StrategyInstance(table: table) { try strategy.run(context) }
    }
  }

  /// A scorer.
  public static func scorer<S: Scorer>(_ type: S.Type) -> Component {
    Component(kind: MARTLET_KIND_SCORER, id: S.id) { table in
      let scorer = try S(ComponentContext(table: table))
      return ScorerInstance(table: table) { try scorer.score($0) }
    }
  }

  /// A scorer of branches.
  public static func scorer<S: BranchScorer>(_ type: S.Type) -> Component {
    Component(kind: MARTLET_KIND_SCORER, id: S.id, scoresBranches: true) { table in
      let context = RunContext(table: table)
      var scorer = try S(context)
      return BranchScorerInstance(table: table) { try scorer.score($0, context) }
    }
  }

  /// A drafter.
  public static func drafter<D: Drafter>(_ type: D.Type) -> Component {
    Component(kind: MARTLET_KIND_DRAFTER, id: D.id) { table in
      var drafter = try D(ComponentContext(table: table))
      return DrafterInstance(table: table) { try drafter.guess($0, most: $1) }
    }
  }

  /// A sampler.
  public static func sampler<S: Sampler>(_ type: S.Type) -> Component {
    Component(kind: MARTLET_KIND_SAMPLER, id: S.id) { table in
      let sampler = try S(ComponentContext(table: table))
      return SamplerInstance(table: table) { try sampler.process(&$0, for: $1) }
    }
  }

  /// A memory.
  public static func memory<M: Memory>(_ type: M.Type) -> Component {
    Component(kind: MARTLET_KIND_MEMORY, id: M.id) { table in
      // One reference for both functions.
      let memory = Kept(try M(ComponentContext(table: table)))
      return MemoryInstance(
        table: table, store: { try memory.value.store($0, under: $1) },
        recall: { try memory.value.recall($0, top: $1) })
    }
  }

  /// An extractor.
  public static func extractor<E: Extractor>(_ type: E.Type) -> Component {
    Component(kind: MARTLET_KIND_EXTRACTOR, id: E.id) { table in
      let extractor = try E(ComponentContext(table: table))
      return ExtractorInstance(table: table) { try extractor.extract($0) }
    }
  }
}

final class StrategyInstance {
  let table: HostTable
  let body: () throws -> Void

  init(table: HostTable, body: @escaping () throws -> Void) {
    self.table = table
    self.body = body
  }
}

final class DrafterInstance {
  let table: HostTable
  let body: (DraftSequence, Int) throws -> [Guess]

  init(table: HostTable, body: @escaping (DraftSequence, Int) throws -> [Guess]) {
    self.table = table
    self.body = body
  }
}

private final class Kept<Value> {
  var value: Value

  init(_ value: Value) { self.value = value }
}

final class MemoryInstance {
  let table: HostTable
  let store: (_ text: String, _ key: String) throws -> Void
  let recall: (_ query: String, _ top: Int) throws -> [Note]
  /// What was last recalled; ids count from 0.
  var found: [Note] = []

  init(
    table: HostTable, store: @escaping (String, String) throws -> Void,
    recall: @escaping (String, Int) throws -> [Note]
  ) {
    self.table = table
    self.store = store
    self.recall = recall
  }
}

final class SamplerInstance {
  let table: HostTable
  let body: (inout MutableSpan<Float>, SamplingChoice) throws -> Void

  init(
    table: HostTable, body: @escaping (inout MutableSpan<Float>, SamplingChoice) throws -> Void
  ) {
    self.table = table
    self.body = body
  }
}

final class BranchScorerInstance {
  let table: HostTable
  let body: ([Branch]) throws -> [Double]

  init(table: HostTable, body: @escaping ([Branch]) throws -> [Double]) {
    self.table = table
    self.body = body
  }
}

final class ScorerInstance: Sendable {
  let table: HostTable
  let body: @Sendable (GeneratedText) throws -> Double

  init(table: HostTable, body: @escaping @Sendable (GeneratedText) throws -> Double) {
    self.table = table
    self.body = body
  }
}

final class ExtractorInstance: Sendable {
  let table: HostTable
  let body: @Sendable (GeneratedText) throws -> String?

  init(table: HostTable, body: @escaping @Sendable (GeneratedText) throws -> String?) {
    self.table = table
    self.body = body
  }
}
