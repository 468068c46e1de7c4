import MartletKernels
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
  /// For a node of a drafted tree: where the last `path.count` positions that it sees are stored,
  /// its own last; empty when every position is stored in its own slot. Slot s of a sequence is
  /// place s mod pageTokens of page s / pageTokens of its table.
  public var path: [Int]
  /// Index into ``ForwardBatch/sequences``.
  public var sequence: Int
  /// Whether the logits after this token are wanted.
  public var wantsLogits: Bool
  /// The logits that the model's first layers alone give after this token are wanted too: how many
  /// layers; 0 for not. See ``Backend/mostExitLayers``.
  public var exitLayers = 0
  /// What it sees where that is not its own sequence up to itself: stretches of several sequences, in the
  /// order in which they lie before it, its own slot the last of the last one. Then `path` is empty, and
  /// its backend has ``Backend/supportsTeams``.
  public var view: [ViewSegment] = []
  /// Where its keys and values are stored, counted from the sequence's start.
  public var slot: Int { path.last ?? position }

  /// One token of a batch.
  public init(token: Token, position: Int, sequence: Int, wantsLogits: Bool, path: [Int] = []) {
    self.token = token
    self.position = position
    self.path = path
    self.sequence = sequence
    self.wantsLogits = wantsLogits
  }
}

/// Everything one forward pass processes.
///
/// Tokens of one sequence appear together, in order of position, and continue exactly where the
/// sequence's stored positions end; then come the nodes of a drafted tree, each after its parent, in
/// consecutive slots. No two sequences of a batch write the same page.
public struct ForwardBatch: Sendable, Equatable {
  /// The tokens, grouped by sequence.
  public var tokens: [BatchToken]
  /// A page table per sequence: page i holds positions `i * pageTokens ..< (i + 1) * pageTokens`.
  public var sequences: [[PageID]]
  /// How many tokens of each sequence are its prompt: those attend to everything, later ones as the
  /// backend's ``AttentionMethod`` says. Sequences beyond its end are all prompt.
  public var promptTokens: [Int]

  /// A batch of tokens and the page tables they write and read; all of it prompts unless said.
  public init(
    tokens: [BatchToken] = [], sequences: [[PageID]] = [], promptTokens: [Int] = []
  ) {
    self.tokens = tokens
    self.sequences = sequences
    self.promptTokens = promptTokens
  }

  /// How many tokens of a sequence are its prompt.
  public func promptTokens(of sequence: Int) -> Int {
    sequence < promptTokens.count ? promptTokens[sequence] : .max
  }

  /// Adds a sequence and returns its index.
  mutating func add(sequence: [PageID], promptTokens prompt: Int = .max) -> Int {
    promptTokens.append(
      contentsOf: repeatElement(.max, count: sequences.count - promptTokens.count))
    sequences.append(sequence)
    promptTokens.append(prompt)
    return sequences.count - 1
  }

  /// How many rows of logits the batch produces, those of early exits included.
  public var logitsRows: Int {
    tokens.reduce(0) { $0 + ($1.wantsLogits ? 1 : 0) + ($1.exitLayers > 0 ? 1 : 0) }
  }
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
  /// Whether `forward` takes tokens with a ``BatchToken/path``; if not, drafts are chains.
  var supportsTrees: Bool { get }
  /// Copies one position from a slot of a page to a slot of the same or another page: where an
  /// accepted node of a tree goes. Called only if `supportsTrees`.
  func movePosition(from source: (page: PageID, slot: Int), to target: (page: PageID, slot: Int))
  /// Whether keys and values can go to another position; see ``shiftPosition(from:at:to:at:)``.
  var supportsShifts: Bool { get }
  /// Copies what is stored for a token at position `position` to a slot of the same or another page, as of
  /// a token at `newPosition`: how text goes on at the positions of a span that was dropped. Called only
  /// if `supportsShifts`, on the driver thread.
  func shiftPosition(
    from source: (page: PageID, slot: Int), at position: Int,
    to target: (page: PageID, slot: Int), at newPosition: Int)
  /// Whether `forward` takes tokens with a ``BatchToken/view``. Their rows depend on the tokens that they see,
  /// and on what those saw.
  var supportsTeams: Bool { get }
  /// The largest ``BatchToken/exitLayers`` that `forward` takes: fewer layers than the model has. 0
  /// where a pass cannot give the logits of first layers beside those of all.
  var mostExitLayers: Int { get }
  /// The most tokens of one sequence that a `forward` takes if any of them is behind the sequence's prompt; nil for
  /// as many as of any. They attend to what was processed before the pass, and what they leave out of it must be
  /// decided by then.
  var mostAppended: Int? { get }
  /// Processes the batch. Row i of `logits` belongs to the i-th token with `wantsLogits`, in order;
  /// after these come the rows of tokens with `exitLayers`, in order.
  /// `logits` has at least ``ForwardBatch/logitsRows`` rows of `vocabularySize`.
  func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError)
  /// Elements of the hidden states that `forward` can keep; nil if it cannot.
  var hiddenWidth: Int? { get }
  /// From now on `forward` keeps, beside keys and values, the hidden state of every token after the
  /// final norm, from which logits are computed, in at most `byteLimit` bytes. `copyPage` and
  /// `movePosition` carry them along. Logits stay the same bits. On the driver thread, as is the next.
  /// Called only if there is a `hiddenWidth`.
  func keepHiddenStates(byteLimit: Int)
  /// Copies the hidden state of the position stored in a slot into a row of `hiddenWidth` columns.
  /// False, and nothing done, where none is kept: the limit was reached, or it was not asked for yet.
  func copyHiddenState(page: PageID, slot: Int, into target: FloatMatrix, row: Int) -> Bool
  /// Seconds of a pass in which `width` branches decode one token each, from a backend that states
  /// them, such as a simulation; nil when they have to be measured.
  func statedStepSeconds(width: Int) -> Double?
  /// Everything that the time of a pass depends on, in words, so that a measurement can be kept; nil
  /// when it should not be.
  var costIdentity: String? { get }
}

extension Backend {
  public var supportsTrees: Bool { false }
  public var mostExitLayers: Int { 0 }
  public var mostAppended: Int? { nil }
  public func movePosition(
    from source: (page: PageID, slot: Int), to target: (page: PageID, slot: Int)
  ) {
    preconditionFailure("\(name) says that it supports trees but cannot move a position")
  }
  public var supportsTeams: Bool { false }
  public var supportsShifts: Bool { false }
  public func shiftPosition(
    from source: (page: PageID, slot: Int), at position: Int,
    to target: (page: PageID, slot: Int), at newPosition: Int
  ) {
    preconditionFailure("\(name) says that it supports shifts but cannot shift a position")
  }
  public var hiddenWidth: Int? { nil }
  public func keepHiddenStates(byteLimit: Int) {
    preconditionFailure("\(name) says that it has no hidden states to keep")
  }
  public func copyHiddenState(page: PageID, slot: Int, into target: FloatMatrix, row: Int) -> Bool {
    false
  }
  public func statedStepSeconds(width: Int) -> Double? { nil }
  public var costIdentity: String? { nil }
}
