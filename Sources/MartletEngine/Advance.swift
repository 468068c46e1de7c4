import MartletModel

/// How far to advance branches; nil means no such limit.
public struct Advance: Sendable, Equatable {
  /// Stop each branch after this many more tokens.
  public var maxTokens: Int?
  /// Stop each branch when its new text contains one of these; the delimiter stays in the text.
  public var delimiters: [String]
  /// Whether the text in which delimiters are looked for begins where that of the branch's last advance
  /// began, so that one which a stop cut in two is found. Not past a delimiter that ended that advance,
  /// nor text that was appended or truncated since.
  public var continues = false
  /// Stop each branch after a token before which the model's distribution had more entropy than
  /// this, nats.
  public var entropyAbove: Float?
  /// Stop each branch after a token that the model gave a log-probability below this, nats.
  public var logprobBelow: Float?
  /// Rules for drawing the tokens of this advance; nil for the run's own. Siblings draw each for
  /// itself under them.
  public var sampling: SamplingOptions?
  /// Set by ``Run/nextTokens(_:_:)``.
  var query: NextTokenQuery?

  /// Limits on one advance; without any, a branch runs until it is finished.
  public init(
    maxTokens: Int? = nil, delimiter: String? = nil, delimiters: [String] = [],
    entropyAbove: Float? = nil, logprobBelow: Float? = nil, sampling: SamplingOptions? = nil
  ) {
    self.maxTokens = maxTokens
    self.delimiters = delimiters + [delimiter].compactMap(\.self)
    self.entropyAbove = entropyAbove
    self.logprobBelow = logprobBelow
    self.sampling = sampling
  }
}

/// Why a branch stopped advancing. The raw values are `martlet_stop`'s of plugin.h.
public enum StopReason: UInt32, Sendable, CaseIterable, CustomStringConvertible {
  /// It has not stopped; it can go on.
  case none = 0
  /// The model ended the sequence, or a stop token was drawn. Finished.
  case endOfSequence = 1
  /// A stop string of the run appeared. Finished.
  case stopString = 2
  /// The advance's delimiter appeared. Can go on.
  case step = 3
  /// The advance's token count was reached. Can go on.
  case tokens = 4
  /// The run's maximum tokens per branch. Finished.
  case length = 5
  /// The model's context is full. Finished.
  case context = 6
  /// A budget (the run's gate, or the ceiling on key-value bytes) refused the next token.
  case budget = 7
  /// The branch, its run or the engine was cancelled.
  case cancelled = 8
  /// The advance's limit of entropy was passed. Can go on.
  case entropy = 9
  /// A token was less likely than the advance's limit. Can go on.
  case logprob = 10
  /// The one who advances it stopped it between two tokens. Can go on.
  case callback = 11

  /// Whether the branch cannot go on from here.
  public var isFinal: Bool {
    switch self {
    case .endOfSequence, .stopString, .length, .context: true
    case .none, .step, .tokens, .budget, .cancelled, .entropy, .logprob, .callback: false
    }
  }

  public var description: String {
    switch self {
    case .none: "none"
    case .endOfSequence: "end_of_sequence"
    case .stopString: "stop_string"
    case .step: "step"
    case .tokens: "tokens"
    case .length: "length"
    case .context: "context"
    case .budget: "budget"
    case .cancelled: "cancelled"
    case .entropy: "entropy"
    case .logprob: "logprob"
    case .callback: "callback"
    }
  }
}

/// What ends every branch of a run.
public struct StopRules: Sendable, Equatable, Codable {
  /// Texts that end a branch. The earliest occurrence counts, also across tokens; the branch's
  /// text ends before it.
  public var stopStrings: [String]
  /// Tokens that end a branch; their bytes are not part of its text.
  public var stopTokens: Set<Token>
  /// The most generated tokens per branch; nil for as many as the context holds.
  public var maxTokens: Int?
  /// Whether the model's own end-of-generation tokens end a branch.
  public var stopAtEndOfGeneration: Bool

  /// Rules for ending branches; by default only the model ends them.
  public init(
    stopStrings: [String] = [], stopTokens: Set<Token> = [], maxTokens: Int? = nil,
    stopAtEndOfGeneration: Bool = true
  ) {
    self.stopStrings = stopStrings
    self.stopTokens = stopTokens
    self.maxTokens = maxTokens
    self.stopAtEndOfGeneration = stopAtEndOfGeneration
  }
}

/// A submitted branch that stopped.
public struct BranchEvent: Sendable {
  /// The branch.
  public let branch: Branch
  /// Why it stopped.
  public let stop: StopReason
}

/// One token of a streamed branch.
public struct TokenEvent: Sendable, Equatable {
  /// The token id; nil in a last event that only tells why the branch stopped.
  public let token: Token?
  /// New text: whole UTF-8 characters only, and nothing that may still turn out to be the
  /// beginning of a stop string. All deltas together are the branch's new text.
  public let text: String
  /// Untempered log-probability of the token, nats; 0 without a token.
  public let logprob: Float
  /// Entropy of the model's own distribution the token was drawn from, nats; 0 without a token.
  public let entropy: Float
  /// Why the branch stopped with this token; `none` for all but the last event.
  public let stop: StopReason
}
