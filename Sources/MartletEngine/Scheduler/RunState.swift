import MartletModel
import Synchronization

/// What the engine knows of a run. Everything mutable is used with the engine's lock held.
final class RunState: @unchecked Sendable {
  // @unchecked: mutable state is guarded by the engine's lock, as stated above.
  let seed: UInt64
  let sampling: SamplingOptions
  let stops: StopRules
  let stopPatterns: [[UInt8]]
  let constraint: TokenConstraint?
  let drafting: Drafting
  /// Second rows that steer its choices; nil for none.
  let guidance: GuidanceSource?
  /// Why nothing is drafted though the caller asked for it.
  let draftingNote: String?
  /// The most tokens of a branch, its prompt included.
  let contextLength: Int
  let recorder: (any EngineObserver)?
  let draws: RandomStream
  /// For what siblings draw together.
  let siblingDraws: RandomStream
  /// For tests of guesses by rejection, and for guesses drawn by chance. Both differ from run to run of
  /// an engine also under one seed: what was generated before may be among what is guessed, and a test
  /// must not use the numbers that led to it.
  let verification: RandomStream
  let guesses: RandomStream
  let bytesPerPage: Int
  /// The most pages its branches may hold together; nil for the engine's ceiling alone.
  var kvPageLimit: Int?
  /// How many further prompts were opened.
  var opened: UInt32 = 0
  /// Where its draws are kept; in a replay, where they come from.
  var log: DrawLog?
  var isReplay = false
  /// Stands for the rules it draws by, in its log.
  private(set) lazy var rulesFingerprint = sampling.fingerprint

  var gate: (any TokenGate)?
  var sampler: Sampler
  /// Changes rows before they are chosen from, in `processed`.
  var processor: (any LogitsProcessor)?
  var processed: [Float] = []
  let processing: RandomStream
  /// For prompts that were opened in a guided run, which nothing guides.
  let unguided: FlightSampler?
  /// What guides it; nil for nothing.
  let activeGuidance: Guidance?
  /// Tokens of the prompt, and of those opened beside it.
  var promptCount: Int
  /// The text of all branches, where drafts come from that.
  var memory: DraftMemory?
  /// Rounds completed, as the one who waits has seen them.
  var clock = 0
  /// Submitted branches in order of path, until their event was delivered.
  var flights: [BranchState] = []
  var anyWaiters: [AnyWaiter] = []
  var allWaiters: [AllWaiter] = []
  var isCancelled = false
  var failure: EngineError?
  var statistics = RunStatistics()
  /// The pass that last processed tokens of this run.
  var lastForward = -1

  struct AnyWaiter {
    let deliver: @Sendable (Result<StoppedBranch?, EngineError>) -> Void
  }

  struct AllWaiter {
    let states: [BranchState]
    let deliver: @Sendable (Result<Void, EngineError>) -> Void
  }

  init(
    core: EngineCore, prompt: [Token], seed: UInt64, sampling: SamplingOptions, stops: StopRules,
    constraint: TokenConstraint?, drafting: Drafting, guidance: Guidance?, kvBytesLimit: Int?,
    recorder: (any EngineObserver)?
  ) throws(EngineError) {
    try core.checkPrompt(prompt)
    try sampling.validate(vocabularySize: core.backend.vocabularySize)
    if let limit = stops.maxTokens, limit < 0 {
      throw EngineError(.argument, "maxTokens is \(limit); it must be 0 or more")
    }
    guard !stops.stopStrings.contains("") else {
      throw EngineError(.argument, "a stop string is empty; leave it out or give it a text")
    }
    try drafting.validate()
    try guidance?.validate()
    let guide = guidance.flatMap { $0.isOn ? $0 : nil }
    let source = try guide.map { guide throws(EngineError) in
      try GuidanceSource(guide, prompt: prompt, core: core)
    }
    try core.checkRoom(
      for: [prompt.count] + [source?.prompt?.count].compactMap(\.self), limit: kvBytesLimit)
    kvPageLimit = kvBytesLimit.map { $0 / core.backend.bytesPerPage }
    self.guidance = source
    let gives = source != nil && drafting.isOn
    self.drafting = gives ? .off : drafting
    draftingNote =
      gives
      ? "drafting by '\(drafting.name)' is off: a guided choice needs a second row at every guess, "
        + "which drafts do not have"
      : nil
    contextLength =
      source?.contextLength(core, promptCount: prompt.count) ?? core.contextLength
    self.seed = seed
    self.sampling = sampling
    self.stops = stops
    self.constraint = constraint
    self.recorder = recorder
    stopPatterns = stops.stopStrings.map { Array($0.utf8) }
    draws = RandomStream(seed: seed, purpose: .token)
    processing = RandomStream(seed: seed, purpose: .processing)
    siblingDraws = RandomStream(seed: seed, purpose: .siblings)
    let fresh = mix64(seed ^ mix64(core.nextRunNumber()))
    verification = RandomStream(seed: fresh, purpose: .verification)
    guesses = RandomStream(seed: fresh, purpose: .drafts)
    sampler = Sampler(options: sampling, guidance: guide)
    unguided = guide == nil ? nil : FlightSampler(sampling)
    activeGuidance = guide
    promptCount = prompt.count
    bytesPerPage = core.backend.bytesPerPage
    statistics.promptTokens = prompt.count
  }

  /// Whether somebody is blocked until this run makes progress.
  var isAwaited: Bool { !anyWaiters.isEmpty || !allWaiters.isEmpty }

  /// Branches of it that are in teams.
  var teamMembers = 0

  /// Whether tokens must be granted in order: rounds, then paths.
  var isOrdered: Bool { teamMembers > 0 || gate?.remainingTokens != nil }

  /// Has the gate grant a token that is drawn, and its reading for guidance.
  func reserveToken() -> Bool {
    guard let gate else { return true }
    guard gate.reserve(1) else { return false }
    guard let guidance, guidance.readingsPerToken > 0 else { return true }
    if gate.reserveGuidance(guidance.readingsPerToken) { return true }
    gate.refund(1)
    return false
  }

  /// Gives back tokens that were granted and are no text.
  func refundTokens(_ count: Int) {
    gate?.refund(count)
    if let guidance, guidance.readingsPerToken > 0 {
      gate?.refundGuidance(count * guidance.readingsPerToken)
    }
  }

  /// Has the gate grant tokens that are given, each read for guidance so many times.
  func reserveGiven(_ count: Int, readings: Int) -> Bool {
    guard let gate else { return true }
    if readings > 0, !gate.reserveGuidance(count * readings) { return false }
    if gate.reservePrompt(count) { return true }
    if readings > 0 { gate.refundGuidance(count * readings) }
    return false
  }

  /// Pages for tokens that the engine draws ahead, while nobody waits, may come back before anybody could have known:
  /// they count for the peak when somebody waits again.
  func pageTaken() {
    statistics.kvPages += 1
    if isAwaited { notePeak() }
  }

  func notePeak() {
    if statistics.kvPages > statistics.peakKVPages {
      statistics.peakKVPages = statistics.kvPages
      statistics.peakKVBytes = statistics.kvPages * bytesPerPage
    }
  }

  func pageReturned() { statistics.kvPages -= 1 }

  func guessPageTaken() {
    statistics.draftKVPages += 1
    statistics.peakDraftKVBytes = max(
      statistics.peakDraftKVBytes, statistics.draftKVPages * bytesPerPage)
  }

  func guessPageReturned() { statistics.draftKVPages -= 1 }

  func record(_ kind: @autoclosure () -> EngineTraceEvent.Kind) {
    guard let recorder else { return }
    recorder.record(EngineTraceEvent(nanoseconds: monotonicNanoseconds(), kind: kind()))
  }
}

/// An event on its way to the one who waits, who takes the branch out of it: so the driver never
/// holds the last reference to a branch, and its pages return when the receiver lets go of it.
final class StoppedBranch: Sendable {
  private let branch: Mutex<Branch?>
  private let stop: StopReason

  init(_ branch: Branch?, _ stop: StopReason) {
    self.branch = Mutex(branch)
    self.stop = stop
  }

  /// The event, once.
  func take() -> BranchEvent? {
    branch.withLock { $0.take() }.map { BranchEvent(branch: $0, stop: stop) }
  }
}
