import MartletModel

/// What a run has used.
public struct RunStatistics: Sendable, Equatable {
  /// Tokens of the prompt and of appended text; a shared prefix counts once.
  public var promptTokens = 0
  /// Those of them whose keys and values the prefix store had; they count as prompt tokens all the same.
  /// Varies from run to run.
  public var cachedPromptTokens = 0
  /// Tokens drawn, discarded branches included; rolled-back ones excluded.
  public var generatedTokens = 0
  /// Those of them that a constraint left no choice for: no logits were read.
  public var forcedTokens = 0
  /// Tokens read once more for guidance: by the same model after another prompt, that prompt included,
  /// or by a weaker model. See ``Guidance``.
  public var guidanceTokens = 0
  /// Tokens drawn ahead of a decision that discarded them. Varies from run to run.
  public var rolledBackTokens = 0
  /// Pages of tokens held now. Those with nothing but guesses in them are ``draftKVPages``.
  public var kvPages = 0
  /// The most of them held at once.
  public var peakKVPages = 0
  /// The most bytes of them held at once.
  public var peakKVBytes = 0
  /// Forward passes that processed at least one token of this run.
  public var forwards = 0
  /// Tokens that were guessed ahead and processed. Varies from run to run, as the next two do.
  public var draftedTokens = 0
  /// Those of them that were drawn.
  public var acceptedTokens = 0
  /// Tokens that a drafter guessed; those worth a row were drafted.
  public var guessedTokens = 0
  /// Tokens drawn after an accepted guess: each would have taken its branch a step of its own.
  public var savedSteps = 0
  /// Pages held now that hold nothing but guesses, and the most bytes of them held at once. They
  /// count toward the engine's ceiling, and return before a token has to do without a page. Vary from
  /// run to run.
  public var draftKVPages = 0
  public var peakDraftKVBytes = 0
}

/// One prompt, the branches that grow from it, and one gate for their tokens.
///
/// **The clock.** A run's clock counts rounds, one token per advancing branch and round. A branch
/// starts at the clock's value when it is submitted; its k-th token belongs to round start + k, and
/// so does its stop. An event is delivered when every other advancing branch has completed that
/// round, and the clock moves there: so events come in order of tokens committed, then of branch
/// path, however long anything took.
///
/// Deterministic use means one thread that calls submit, wait and cancel in turn, as a strategy
/// does. Several tasks may also advance branches of one run at the same time; each text is still
/// reproducible, only the order among them is not.
///
/// When the last reference to a run goes, whatever it had submitted is cancelled.
public final class Run: Sendable {
  /// The engine it runs on, kept alive by its runs.
  public let engine: Engine
  let state: RunState
  var core: EngineCore { engine.core }

  /// The branch that holds the prompt.
  public let root: Branch
  /// What steers its choices; nil for nothing.
  public let guidance: Guidance?

  init(
    engine: Engine, prompt: [Token], seed: UInt64, sampling: SamplingOptions, stops: StopRules,
    constraint: Constraint?, drafting: Drafting, guidance: Guidance?, kvBytesLimit: Int?,
    recorder: (any EngineObserver)?
  ) throws(EngineError) {
    self.engine = engine
    let core = engine.core
    let tokens = try constraint.map { constraint throws(EngineError) in
      try core.constraints.compiled(constraint, core: core, stops: stops)
    }
    state = try RunState(
      core: core, prompt: prompt, seed: seed, sampling: sampling, stops: stops,
      constraint: tokens, drafting: drafting, guidance: guidance, kvBytesLimit: kvBytesLimit,
      recorder: recorder)
    self.guidance = guidance
    if let replay = core.backend as? ReplayBackend {
      (state.log, state.isReplay) = (replay.log, true)
    }
    root = core.makeRoot(state, prompt: prompt)
  }

  deinit { core.abandon(state) }

  /// The seed of every draw of this run.
  public var seed: UInt64 { state.seed }
  /// How tokens are chosen.
  public var sampling: SamplingOptions { state.sampling }
  /// What ends branches.
  public var stops: StopRules { state.stops }
  /// Where guesses at coming tokens are taken from.
  public var drafting: Drafting { state.drafting }
  /// Why nothing is drafted although ``Engine/makeRun(prompt:seed:sampling:stops:constraint:drafting:guidance:kvBytesLimit:recorder:)``
  /// was asked to; nil otherwise.
  public var draftingNote: String? { state.draftingNote }
  /// What the generated text of every branch must be; nil for anything.
  public var constraint: Constraint? { state.constraint?.constraint }

  /// Grants tokens before they are drawn; nil grants all. Set it before the first advance.
  public var gate: (any TokenGate)? {
    get { core.gate(of: state) }
    set { core.setGate(newValue, of: state) }
  }

  /// What has been used so far.
  public var statistics: RunStatistics { core.statistics(of: state) }

  /// Stops all branches at the next token and makes later advancing calls throw
  /// ``EngineError/Code/cancelled``. Tokens made until then stay readable.
  public func cancel() { core.cancel(state) }

  /// Keeps everything that is drawn from now on in `log`, so that the run can be replayed. Call it before the first
  /// advance. A guided run cannot be replayed, and the log says so.
  public func record(into log: DrawLog) {
    guard !state.isReplay else { return }
    if guidance != nil { log.note(obstacle: "its choices were guided by a second row of logits") }
    core.locked { () throws(Never) in state.log = log }
  }

  /// In a replay, which text was wanted in tokens though the recorded run never cut it; nil otherwise.
  public var unrecorded: String? {
    guard state.isReplay, let text = state.log?.unknownText else { return nil }
    return "the recorded run never cut '\(text.prefix(60))' into tokens"
  }

  /// The tokens of a text, for this run's branches.
  public func encode(
    _ text: String, addSpecial: Bool = false, parseSpecial: Bool = false
  ) -> [Token] {
    core.encode(text, addSpecial: addSpecial, parseSpecial: parseSpecial, for: state)
  }

  /// Whether nothing that was submitted is still to be waited for.
  public var isIdle: Bool { core.isIdle(state) }

  /// Whether the run was cancelled.
  public var isCancelled: Bool { core.isCancelled(state) }

  /// The most bytes of keys and values that this run's branches may hold together; nil for the
  /// engine's ceiling alone. A branch that needs more stops with ``StopReason/budget``. Guesses of
  /// drafts count too, and give way. Give it to
  /// ``Engine/makeRun(prompt:seed:sampling:stops:constraint:drafting:guidance:kvBytesLimit:recorder:)``,
  /// which refuses a prompt that does not fit, or set it before the first advance.
  public var kvBytesLimit: Int? {
    get { core.kvPageLimit(of: state).map { $0 * state.bytesPerPage } }
    set { core.setKVPageLimit(newValue.map { $0 / state.bytesPerPage }, of: state) }
  }

  /// Opens a branch on another prompt: for a judge, a critic, another way to ask. It belongs to this
  /// run, with its seed, rules, stops and budget, and no other branch is its ancestor; its path comes
  /// after those of the root's children. The run's constraint does not hold for it.
  ///
  /// Throws as ``Engine/makeRun(prompt:seed:sampling:stops:constraint:drafting:guidance:kvBytesLimit:recorder:)``,
  /// and ``EngineError/Code/budget`` when the gate refuses the prompt.
  public func open(prompt: [Token]) throws(EngineError) -> Branch {
    try core.open(state, prompt: prompt)
  }

  /// Replaces a population: result i continues `population[ancestors[i]]` as a new branch with a
  /// path, and so random draws, of its own. All of `population` is released. Moves references only.
  /// Results of one ancestor are siblings as those of one ``Branch/fork(_:)``.
  ///
  /// Throws ``EngineError/Code/argument`` for an ancestor outside the population, and as
  /// ``Branch/fork(_:)``; then nothing has changed.
  public func resample(
    _ population: [Branch], ancestors: [Int]
  ) throws(EngineError) -> [Branch] {
    try core.resample(state, population: population.map(\.state), ancestors: ancestors)
  }

  /// 64 random bits for (seed, branch path or the run itself, `index`): the same on every schedule,
  /// thread count and machine, and independent of the draws that choose tokens.
  public func random(branch: Branch? = nil, index: UInt64) -> UInt64 {
    RandomStream(seed: state.seed, purpose: branch == nil ? .run : .branch)
      .bits(path: branch?.path ?? .root, index: index)
  }
}
