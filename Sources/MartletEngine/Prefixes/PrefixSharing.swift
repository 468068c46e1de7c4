import MartletModel

/// A backend whose pages of a prompt can serve other prompts that begin with the same tokens.
///
/// What a page of a prompt holds must follow from the tokens up to its end, bit for bit. Pages are full
/// ones here. All but the constants are called on the driver thread.
public protocol PrefixSharing: Backend {
  /// In words, what pages depend on besides tokens, as far as the backend can say it: the model, how it
  /// rounds, how pages are laid out. nil where its pages must not serve other prompts.
  var prefixIdentity: String? { get }
  /// Whether a page may be in the tables of several prompts at once; if not, each prompt gets a copy.
  var sharesPrefixPages: Bool { get }
  /// Bytes that ``pageBytes(_:)`` gives, always as many.
  var prefixPageBytes: Int { get }
  /// Makes a page for another prompt of one that is stored: with its keys and values, without what was
  /// learned from the prompt it is of.
  func takePage(from source: PageID, to target: PageID)
  /// What a page holds, in a form that ``setPage(_:to:)`` of this and of equal backends understands.
  func pageBytes(_ page: PageID) throws(EngineError) -> [UInt8]
  /// Makes a page hold what another held.
  /// - Throws: `EngineError` `.data` for another number of bytes.
  func setPage(_ page: PageID, to bytes: [UInt8]) throws(EngineError)
  /// Positions below `stored` of a prompt of `prompt` tokens that have to be processed once more, since
  /// the backend learns something from processing them that no page holds: ascending.
  func positionsToRepeat(prompt: Int, stored: Int) -> [Int]
  /// Processes these positions of a sequence, whose pages hold them already, once more.
  /// - Parameter tokens: of those positions; at most `maximumBatchTokens`.
  func repeatPositions(
    _ positions: [Int], tokens: [Token], table: [PageID], prompt: Int
  ) throws(EngineError)
}

extension PrefixSharing {
  public func positionsToRepeat(prompt: Int, stored: Int) -> [Int] { [] }
  public func repeatPositions(
    _ positions: [Int], tokens: [Token], table: [PageID], prompt: Int
  ) throws(EngineError) {
    preconditionFailure("\(name) names positions to repeat but cannot repeat them")
  }
}
