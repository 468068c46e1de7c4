import MartletModel

/// The id of one page of keys and values: 0 ..< the count last reserved.
public typealias PageID = Int32

/// One token to process: its keys and values are written at its position, and its logits are
/// wanted or not.
public struct BatchToken: Sendable, Equatable {
  /// The token id.
  public var token: Token
  /// Its absolute position in its sequence, from 0.
  public var position: Int
  /// Index into ``ForwardBatch/sequences``.
  public var sequence: Int
  /// Whether the logits after this token are wanted.
  public var wantsLogits: Bool

  /// One token of a batch.
  public init(token: Token, position: Int, sequence: Int, wantsLogits: Bool) {
    self.token = token
    self.position = position
    self.sequence = sequence
    self.wantsLogits = wantsLogits
  }
}

/// Everything one forward pass processes.
///
/// Tokens of one sequence appear together, in order of position, and continue exactly where the
/// sequence's stored positions end. No two sequences of a batch write the same page.
public struct ForwardBatch: Sendable, Equatable {
  /// The tokens, grouped by sequence.
  public var tokens: [BatchToken]
  /// A page table per sequence: page i holds positions `i * pageTokens ..< (i + 1) * pageTokens`.
  public var sequences: [[PageID]]

  /// A batch of tokens and the page tables they write and read.
  public init(tokens: [BatchToken] = [], sequences: [[PageID]] = []) {
    self.tokens = tokens
    self.sequences = sequences
  }

  /// How many rows of logits the batch produces.
  public var logitsRows: Int { tokens.count { $0.wantsLogits } }
}

/// What a model (or a simulation) is to the engine.
///
/// `reservePages`, `copyPage` and `forward` are called from the engine's one driver thread only,
/// never at the same time. A row of logits must depend on that sequence's tokens alone: not on the
/// other rows of the batch, on page ids, or on how the tokens were divided among passes.
public protocol Backend: AnyObject, Sendable {
  /// A name for messages and statistics.
  var name: String { get }
  /// Number of logits per row.
  var vocabularySize: Int { get }
  /// The most positions one sequence may have.
  var contextLength: Int { get }
  /// Positions per page.
  var pageTokens: Int { get }
  /// Bytes of keys and values one page takes, all layers.
  var bytesPerPage: Int { get }
  /// The most tokens one `forward` accepts.
  var maximumBatchTokens: Int { get }
  /// The tokenizer that belongs to this vocabulary.
  var tokenizer: any TokenCodec { get }
  /// Makes storage so that page ids 0 ..< `count` exist; `count` never shrinks.
  func reservePages(_ count: Int) throws(EngineError)
  /// Copies the first `positions` positions of a page.
  func copyPage(from source: PageID, to target: PageID, positions: Int)
  /// Processes the batch. Row i of `logits` belongs to the i-th token with `wantsLogits`, in order.
  /// `logits` has at least ``ForwardBatch/logitsRows`` rows of `vocabularySize`.
  func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError)
  /// Seconds of a pass in which `width` branches decode one token each, from a backend that states
  /// them, such as a simulation; nil when they have to be measured.
  func statedStepSeconds(width: Int) -> Double?
  /// Everything that the time of a pass depends on, in words, so that a measurement can be kept; nil
  /// when it should not be.
  var costIdentity: String? { get }
}

extension Backend {
  public func statedStepSeconds(width: Int) -> Double? { nil }
  public var costIdentity: String? { nil }
}
