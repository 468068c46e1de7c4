import MartletModel

/// One continuation of a run's prompt: its tokens, its text and its share of the pages.
///
/// Reading properties is allowed from any thread at any time, also after ``release()``. While a
/// branch is ahead of the run's clock (see ``Run/submit(_:_:)``) and nobody waits, what is read is
/// its state at the clock, so that decisions do not depend on time.
///
/// When the last reference goes, the branch is released. A branch that was submitted is referenced
/// by the engine until its event was delivered.
public final class Branch: Sendable {
  let core: EngineCore
  let state: BranchState

  init(core: EngineCore, state: BranchState) {
    self.core = core
    self.state = state
  }

  deinit { core.releaseFromDeinit(state) }

  /// The branch's place in its run's tree.
  public var path: BranchPath { state.path }

  /// Number of tokens before the first generated one.
  public var promptTokens: Int { state.promptCount }

  /// Generated (and appended) tokens, the one that ended the sequence included.
  public var tokens: [Token] { core.view(state) { $0.tokens } }

  /// Untempered log-probabilities of ``tokens``, nats; 0 for appended ones.
  public var logprobs: [Float] { core.view(state) { $0.logprobs } }

  /// Number of generated and appended tokens.
  public var generatedTokens: Int { core.view(state) { $0.count } }

  /// Sum of ``logprobs``.
  public var logprob: Double { core.view(state) { $0.logprobs.reduce(0) { $0 + Double($1) } } }

  /// Entropy of the model's own distribution at the last drawn token, nats; 0 before the first.
  public var lastEntropy: Float { core.view(state) { $0.lastEntropy } }

  /// Entropy of the model's own distribution at each of ``tokens``, nats; appended and forced ones
  /// repeat the last.
  public var entropies: [Float] { core.view(state) { $0.entropies } }

  /// The text of ``tokens``: without the prompt, the stop string, the bytes of the token that ended
  /// the sequence and an unfinished UTF-8 character at the end.
  public var text: String { core.view(state) { $0.text } }

  /// Why it stopped; `none` while it advances or has not started.
  public var stop: StopReason { core.view(state) { $0.stop } }

  /// Whether it cannot go on from here.
  public var finished: Bool { stop.isFinal }

  /// Pages its table names, shared ones included.
  public var kvPages: Int { core.kvPages(state) }

  /// Makes `count` children that share everything with this branch until they differ. The branch
  /// itself stays as it is. Adds no pages; what is still to be processed of the common tokens is
  /// processed once, and all draw their next token from one row of logits.
  ///
  /// Under the draws `arithmetic`, `without-replacement` and `priority` (``SamplingOptions/Draw``)
  /// the children of one call draw the first token that they choose together, as a group: spread
  /// evenly, or distinct while there are tokens. A child that is truncated or appended to before
  /// leaves the group. The tokens after that are drawn by each alone.
  ///
  /// Throws ``EngineError/Code/released`` or, while the branch advances,
  /// ``EngineError/Code/state``.
  public func fork(_ count: Int) throws(EngineError) -> [Branch] {
    try core.fork(state, count: count)
  }

  /// Bytes of pages that `count` forks would take after each wrote one token.
  public func forkCost(_ count: Int) -> Int { core.forkCost(state, count: count) }

  /// Drops generated tokens so that `generated` remain, frees their pages and starts a new random
  /// epoch: going on draws afresh.
  ///
  /// Throws ``EngineError/Code/argument`` when fewer tokens exist, ``EngineError/Code/released``
  /// or, while the branch advances, ``EngineError/Code/state``.
  public func truncate(toGenerated generated: Int) throws(EngineError) {
    try core.truncate(state, toGenerated: generated)
  }

  /// What becomes of the text that follows a span which is dropped.
  public enum FollowingText: Sendable {
    /// Its keys and values stay as they are, which holds what it took from the span, and its keys are
    /// rotated to their new positions: microseconds a token, and rounded once more.
    case kept
    /// It is processed again, without the span: what it took from the span is gone.
    case processedAgain
  }

  /// Tokens that were dropped.
  public struct DroppedSpan: Sendable, Equatable {
    public let tokens: [Token]
    /// Nats.
    public let logprobs: [Float]
    public let text: String
  }

  /// Takes a closed span out of the branch: what is generated from now on does not attend to it, and the
  /// text that follows it has its positions. The branch is then one without the span, in tokens, text and
  /// log-probabilities (those of what follows stay as they were); who wants the whole text keeps what is
  /// returned. Pages that nothing needs any more are freed. A new random epoch begins, since positions come
  /// up again. The last token is processed anew in either case, so that what comes next is chosen without
  /// the span in view.
  ///
  /// Source: subtask pruning with reuse of positions and pages in "Beyond Context Limits: Subconscious
  /// Threads for Long-Horizon Reasoning". There the runtime finds the spans by rule in the output of a
  /// model that was trained for it; here whoever drives the branch names them. With
  /// ``FollowingText/kept`` a branch that is demoted keeps the pages that its tokens cannot give again.
  ///
  /// Blocks until a pass in progress ends; for strategies' threads, not inside an answer of the engine.
  /// Other branches that share pages with this one stay as they are.
  ///
  /// - Parameters:
  ///   - span: of generated and appended tokens.
  ///   - following: see ``FollowingText``; `kept` wants everything but the last token to be processed, as
  ///     after an advance, and a backend that can shift positions.
  /// - Throws: ``EngineError/Code/argument`` for a span that is empty or not there,
  ///   ``EngineError/Code/state`` while the branch advances, is finished, has to meet a constraint, or has
  ///   text that is still to be processed, ``EngineError/Code/backend`` where positions cannot be
  ///   shifted, ``EngineError/Code/budget`` or ``EngineError/Code/memory`` without room for copies of
  ///   shared pages, ``EngineError/Code/released``, ``EngineError/Code/cancelled``. The branch is as before
  ///   then.
  /// - Complexity: with `kept` O(tokens that follow × layers).
  public func drop(
    generated span: Range<Int>, following: FollowingText = .kept
  ) throws(EngineError) -> DroppedSpan {
    try core.drop(state, span, following)
  }

  /// Appends tokens as if generated. They count as prompt tokens, not as sampled ones.
  ///
  /// Throws ``EngineError/Code/context`` when they do not fit, ``EngineError/Code/argument`` for a
  /// token outside the vocabulary, ``EngineError/Code/state`` while the branch advances or when it
  /// is finished, ``EngineError/Code/released``.
  public func append(tokens: [Token]) throws(EngineError) {
    try core.append(state, tokens: tokens)
  }

  /// Appends the tokens of `text`, without special tokens. Throws as ``append(tokens:)``.
  public func append(text: String) throws(EngineError) {
    try core.append(state, tokens: core.encode(text, for: state.run))
  }

  /// A child from which text can go on also where this branch is finished: without the token that
  /// ended the sequence, or what came of the stop string. Its draws are its own, and the run's
  /// constraint does not hold for it: what comes is no part of the text that was to meet it.
  ///
  /// Throws as ``fork(_:)`` and ``append(tokens:)``.
  public func reopened() throws(EngineError) -> Branch { try core.reopen(state) }

  /// Says why a branch that is not advancing stands where it does, in place of the count of tokens
  /// that stopped it. Nothing for one that is finished.
  public func mark(_ reason: StopReason) { core.mark(state, reason) }

  /// Gives back the pages that this branch alone holds and keeps its text: when it goes on, the
  /// text is processed again, to the same bits. Returns the bytes that were freed.
  ///
  /// Throws ``EngineError/Code/released`` or, while the branch advances, ``EngineError/Code/state``.
  public func demote() throws(EngineError) -> Int { try core.demote(state) }

  /// Stops an advancing branch at the next token; it produces no event. Tokens it had drawn ahead
  /// of the run's clock are rolled back, so what remains does not depend on time. (When another
  /// thread waits for the run at that moment, the clock is moving and nothing is rolled back.)
  /// A branch that is not advancing is left alone.
  public func cancel() { core.cancel(state) }

  /// Gives the branch up: its unshared pages return at once. Cancels it if it is advancing. Later
  /// changing calls throw ``EngineError/Code/released``; reading goes on working.
  public func release() { core.release(state) }

  /// Whether it was released.
  public var isReleased: Bool { core.isReleased(state) }
}
