import Foundation
import MartletModel

/// Limits of an engine.
public struct EngineConfiguration: Sendable, Equatable {
  /// The most bytes all pages of keys and values may take; a branch that would need more stops
  /// with ``StopReason/budget``.
  public var kvBytesLimit: Int
  /// The most tokens of one sequence, so that an engine can be sized for what it is to do: it starts
  /// only if its pages hold a sequence of this length. nil for what the model can, of which the pages
  /// may hold less.
  public var contextLength: Int?
  /// The most prompt or appended tokens in one forward pass, so that prefilling one run does not
  /// hold up the decoding of others.
  public var prefillChunk: Int
  /// The most of them in a pass that also decodes, where it is less than `prefillChunk`. Every
  /// branch that decodes is in every such pass, so this is what a long prompt can slow it down by:
  /// some tens of rows cost a few times what one row does, and still use most of the arithmetic.
  public var mixedPrefillChunk: Int
  /// The most tokens in one forward pass; the backend's own maximum also holds.
  public var maximumBatchTokens: Int
  /// How many tokens a branch may be ahead of the run's clock (see ``Run/submit(_:_:)``). Tokens
  /// ahead of a decision that cancels them are rolled back. A token budget makes this 0.
  public var overrun: Int
  /// Bytes of logits kept for branches that were forked but not advanced, so that forking one
  /// again needs no forward pass.
  public var logitsCacheBytes: Int
  /// A folder in which the measured cost of steps is kept between starts; nil for none.
  public var tuningFolder: String?
  /// The most bytes in which generated text is remembered for drafts (``Drafting/Source/trie``), taken
  /// as they are needed; the oldest text goes first. 48 KiB, the least, hold some 200 tokens, the
  /// default some hundred thousand.
  public var draftMemoryBytes: Int

  /// Where prompts' keys and values are kept beyond the runs that read them, so that a run whose prompt
  /// begins as an earlier one reads only the rest; nil for nowhere. No text depends on it.
  public var prefixes: PrefixStoreOptions?

  /// Defaults: half of this machine's memory for pages, 256 tokens of prefill per pass, 32 beside decoding.
  public init(
    kvBytesLimit: Int = Int(clamping: ProcessInfo.processInfo.physicalMemory / 2),
    prefillChunk: Int = 256, mixedPrefillChunk: Int = 32, maximumBatchTokens: Int = .max,
    overrun: Int = 8, logitsCacheBytes: Int = 64 << 20, tuningFolder: String? = nil,
    draftMemoryBytes: Int = 32 << 20, contextLength: Int? = nil
  ) {
    self.kvBytesLimit = kvBytesLimit
    self.contextLength = contextLength
    self.prefillChunk = prefillChunk
    self.mixedPrefillChunk = mixedPrefillChunk
    self.maximumBatchTokens = maximumBatchTokens
    self.overrun = overrun
    self.logitsCacheBytes = logitsCacheBytes
    self.tuningFolder = tuningFolder
    self.draftMemoryBytes = draftMemoryBytes
  }
}

/// What an engine has done so far.
public struct EngineStatistics: Sendable, Equatable {
  /// Forward passes.
  public var forwards = 0
  /// Tokens processed by them, prompts included.
  public var processedTokens = 0
  /// Forward passes by their number of tokens.
  public var batchHistogram: [Int: Int] = [:]
  /// Rows of logits computed.
  public var logitsRows = 0
  /// Tokens drawn and kept.
  public var sampledTokens = 0
  /// Those of them that a constraint left no choice for.
  public var forcedTokens = 0
  /// Tokens drawn ahead of a decision that discarded them.
  public var rolledBackTokens = 0
  /// Pages copied because a shared page was about to be written.
  public var pageCopies = 0
  /// Pages in use now.
  public var pagesInUse = 0
  /// The most pages ever in use at once.
  public var peakPages = 0
  /// The bytes that those take.
  public var peakKVBytes = 0
  /// Pages that nothing but the prefix store holds now; they are not in use.
  public var storedPages = 0
  /// Tokens of prompts whose pages the prefix store had.
  public var cachedPromptTokens = 0
  /// Tokens that were guessed ahead and processed; and those of them that were drawn.
  public var draftedTokens = 0
  public var acceptedTokens = 0
  /// Seconds in which drafters computed guesses.
  public var draftSeconds = 0.0
  /// Seconds inside the backend's forward.
  public var forwardSeconds = 0.0
}

/// Runs any number of prompts on one backend, all their branches together: one driver thread
/// gathers every ready token of every branch of every run into one forward pass.
///
/// The text of a branch depends on the model, the prompt, the seed, the branch's path and the
/// sampling options; never on what else runs, on batch sizes or on time.
public final class Engine: Sendable {
  let core: EngineCore
  let costs: CostKeeper

  /// Starts an engine on a backend.
  ///
  /// Throws ``EngineError/Code/argument`` for a configuration that cannot work and
  /// ``EngineError/Code/budget``, naming the bytes needed, for a ``EngineConfiguration/contextLength``
  /// that does not fit ``EngineConfiguration/kvBytesLimit``.
  public init(
    backend: any Backend, configuration: EngineConfiguration = .init()
  ) throws(EngineError) {
    core = try EngineCore(backend: backend, configuration: configuration)
    costs = CostKeeper(folder: configuration.tuningFolder)
    core.start()
  }

  deinit { core.shutdown() }

  /// The backend.
  public var backend: any Backend { core.backend }

  /// The tokenizer of the backend's vocabulary.
  public var tokenizer: any TokenCodec { core.codec }

  /// Starts a run: one prompt from which branches grow. Nothing is computed until a branch
  /// advances.
  ///
  /// The generated text of every branch meets `constraint`; it begins behind the prompt. Masks are
  /// made once per constraint and shared by all runs that are given the same object.
  ///
  /// With `guidance` every choice looks at a second row of logits too; such a run does not draft
  /// (``Run/draftingNote``).
  ///
  /// - Parameter kvBytesLimit: see ``Run/kvBytesLimit``.
  ///
  /// Throws ``EngineError/Code/context`` for a prompt longer than the context,
  /// ``EngineError/Code/budget``, naming the bytes needed, for one whose keys and values do not fit the
  /// run's limit or the engine's, and ``EngineError/Code/argument`` for an empty prompt, a token outside
  /// the vocabulary, options out of range or a constraint that the vocabulary cannot spell.
  public func makeRun(
    prompt: [Token], seed: UInt64 = 0, sampling: SamplingOptions = .init(),
    stops: StopRules = .init(), constraint: Constraint? = nil, drafting: Drafting = .off,
    guidance: Guidance? = nil, kvBytesLimit: Int? = nil, recorder: (any EngineObserver)? = nil
  ) throws(EngineError) -> Run {
    try drafting.drafter?.check(for: backend)
    if drafting.isOn, let curve = costs.known(core) { core.setRowCost(curve) }
    return try Run(
      engine: self, prompt: prompt, seed: seed, sampling: sampling, stops: stops,
      constraint: constraint, drafting: drafting, guidance: guidance, kvBytesLimit: kvBytesLimit,
      recorder: recorder)
  }

  /// The most tokens that a sequence may have.
  public var contextLength: Int { core.contextLength }

  /// Bytes that the keys and values of a sequence of `tokens` tokens take, in whole pages, with what an
  /// index keeps beside them.
  public func kvBytes(tokens: Int) -> Int { core.room(for: [tokens]) }

  /// Pages in use by all runs.
  public var pagesInUse: Int { core.statistics().pagesInUse }

  /// What has been done so far.
  public var statistics: EngineStatistics { core.statistics() }

  /// Stops the driver thread, cancels all work and makes later calls throw. Blocks until a forward
  /// pass in progress ends. May be called again.
  public func shutdown() { core.shutdown() }

  /// Has the model keep the hidden state of every token it processes from the next pass on, for
  /// drafters that read them, in at most `byteLimit` bytes beside the keys and values.
  ///
  /// - Throws: `EngineError` `.backend` for a model without hidden states, `.cancelled`.
  public func keepHiddenStates(byteLimit: Int) throws(EngineError) {
    let backend = backend
    guard backend.hiddenWidth != nil else {
      throw EngineError(.backend, "\(backend.name) has no hidden states, which draft heads read")
    }
    guard core.onDriver({ backend.keepHiddenStates(byteLimit: byteLimit) }) != nil else {
      throw EngineError(.cancelled, "the engine was shut down")
    }
  }
}
