import MartletModel

/// What the engine knows of a branch. Everything mutable is used with the engine's lock held.
final class BranchState: @unchecked Sendable {
  // @unchecked: mutable state is guarded by the engine's lock, as stated above.
  let run: RunState
  let path: BranchPath
  let promptCount: Int

  var lane: Lane
  /// Its tokens behind the prompt that guides it, where its run has one.
  var companion: Lane?
  var logprobs: [Float] = []
  var entropies: [Float] = []
  /// Mirostat's state after each generated token, where it is in use.
  var mirostatStates: [Float] = []
  var text = GeneratedText()
  /// Where the text stands in the run's constraint; nil where none holds.
  var constraintState: ConstraintState?
  var epoch: UInt32 = 0
  /// How many of its epochs began because what was drawn ahead was rolled back.
  var rollbackEpochs: UInt32 = 0
  var nextChild: UInt32 = 0
  var stop = StopReason.none
  var flight: Flight?
  /// Where the text of the last advance began; nil when the text was changed since.
  var lastStart: Int?
  /// The branch's own text, where its run drafts from that.
  var memory: DraftMemory?
  /// What its run's drafter last guessed.
  var proposal: BranchProposal?
  /// Those it was forked with, where they are drawn for together.
  var siblings: SiblingGroup?
  /// The team that it is a member of.
  var team: TeamState?
  var isReleased = false
  weak var handle: Branch?

  /// What the model was last asked about the token that would come next.
  var nextToken: NextToken?

  init(run: RunState, path: BranchPath, lane: Lane, isConstrained: Bool = true) {
    self.run = run
    self.path = path
    promptCount = lane.promptCount
    self.lane = lane
    if isConstrained { constraintState = run.constraint?.makeState() }
  }

  /// What its text must be; nil for anything.
  var constraint: TokenConstraint? { constraintState == nil ? nil : run.constraint }

  /// The lanes whose logits its next choice needs.
  var lanes: [Lane] { companion.map { [lane, $0] } ?? [lane] }

  /// Adds a token, whose logits are still to be had.
  func append(_ tokens: [Token]) {
    lane.tokens += tokens
    lane.dropLogits()
    companion?.tokens += tokens
    companion?.dropLogits()
  }

  /// Mirostat's state, where it is in use.
  var mirostatMu: Float? {
    run.sampler.options.mirostatTau == nil
      ? nil : mirostatStates.last ?? run.sampler.options.mirostatStart
  }

  /// Moves Mirostat's state by a token drawn.
  func surprise(_ drawn: SampledToken) {
    guard let mu = mirostatMu else { return }
    // A forced token was no choice and surprises nobody.
    mirostatStates.append(
      drawn.keptLogprob.map { run.sampler.mirostat(after: $0, from: mu) } ?? mu)
  }

  /// Generated and appended tokens.
  var count: Int { lane.tokens.count - promptCount }

  /// The round of the run's clock this branch has reached.
  var round: Int { flight.map { $0.startRound + count - $0.startCount } ?? 0 }

  /// Whether it is advancing and has not stopped.
  var isRunning: Bool { flight.map { !$0.hasStopped } ?? false }

  /// How many of its tokens belong to the clock's round or earlier ones.
  var countAtClock: Int {
    guard let flight else { return count }
    return min(count, flight.startCount + max(0, run.clock - flight.startRound))
  }

  /// Cuts everything but the lane to `count` generated tokens.
  func truncateRecords(to count: Int) {
    logprobs.removeLast(logprobs.count - count)
    entropies.removeLast(entropies.count - count)
    if mirostatStates.count > count { mirostatStates.removeLast(mirostatStates.count - count) }
    text.truncate(toTokens: count)
    constraintState?.truncate(to: count)
  }
}

/// One advance of a branch, from submission until its event was delivered.
struct Flight {
  /// Keeps the branch from being released while it advances, whoever else lets go of it.
  let handle: Branch?
  let startRound: Int
  let startCount: Int
  /// Where the new text begins.
  let startText: Int
  let maxTokens: Int?
  let delimiters: [[UInt8]]
  let entropyAbove: Float?
  let logprobBelow: Float?
  /// Chooses its tokens; nil for the run's own.
  let sampler: FlightSampler?
  /// What is to be read of the next token's distribution instead of drawing one.
  let query: NextTokenQuery?
  /// Whether its stop is an event for who waits for any.
  let wantsEvent: Bool
  let onToken: (@Sendable (TokenEvent) -> Void)?
  /// Whether it has stopped and waits to be delivered.
  var hasStopped = false
  /// End of the text that was streamed.
  var streamed: Int
}

/// Sampling rules of one advance, and what the sampler works in: shared by its branches.
final class FlightSampler: @unchecked Sendable {
  // @unchecked: used with the engine's lock held.
  var plain: Sampler
  /// Stands for the rules in a run's log.
  private(set) lazy var fingerprint = plain.options.fingerprint
  /// With the run's guidance, for the branches that it guides.
  var guided: Sampler?

  init(_ options: SamplingOptions, guidance: Guidance? = nil) {
    plain = Sampler(options: options)
    guided = guidance.map { Sampler(options: options, guidance: $0) }
  }
}

/// A branch as its reader may see it: at the run's clock while it is ahead and nobody waits.
struct BranchView {
  private let state: BranchState
  let count: Int

  init(_ state: BranchState) {
    self.state = state
    count = state.run.isAwaited ? state.count : state.countAtClock
  }

  private var isWhole: Bool { count == state.count }

  var tokens: [Token] {
    Array(state.lane.tokens[state.promptCount..<state.promptCount + count])
  }
  var logprobs: [Float] { isWhole ? state.logprobs : Array(state.logprobs.prefix(count)) }
  var entropies: [Float] { isWhole ? state.entropies : Array(state.entropies.prefix(count)) }
  var lastEntropy: Float { count == 0 ? 0 : state.entropies[count - 1] }
  var text: String { state.text.string(tokens: count) }
  var stop: StopReason { isWhole ? state.stop : .none }
}
