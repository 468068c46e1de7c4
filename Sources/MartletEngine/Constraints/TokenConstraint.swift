import MartletModel
import Synchronization

/// A constraint for one vocabulary: which tokens may come after a text, and which must.
///
/// Made once and shared by all branches of all runs that use it, from any thread. A mask is found by
/// walking the vocabulary's trie along the constraint; it depends on the place in the constraint
/// alone, not on the text that led there, and is kept by place. What is kept is bounded
/// (``memoryLimit``): masks that were not used for longest go first, and when the places themselves
/// take too much all are forgotten, and states find theirs again from their tokens.
///
/// Sources: "Efficient Guided Generation for Large Language Models" (masks by automaton state);
/// XGrammar and llguidance (tries, masks of stacks, free text taken as a whole).
public final class TokenConstraint: Sendable {
  /// What is allowed.
  public let constraint: Constraint
  /// Tokens that end the text; allowed exactly where it may end.
  public let endTokens: Set<Token>
  /// Bytes for masks and as many for places before something is forgotten.
  public static let memoryLimit = 64 << 20

  private let table: Mutex<ConstraintTable>

  /// Throws `argument` when the vocabulary cannot spell any text that is allowed.
  /// - Parameters:
  ///   - vocabularySize: how many logits a row has; at least the codec's number of tokens, or 0 for
  ///     that.
  ///   - memoryLimit: bytes for masks, and as many for places, before something is forgotten.
  public convenience init(
    _ constraint: Constraint, codec: any TokenCodec, endTokens: Set<Token>? = nil,
    vocabularySize: Int = 0, memoryLimit: Int = TokenConstraint.memoryLimit
  ) throws(EngineError) {
    try self.init(
      constraint, trie: TokenTrie(codec), codec: codec,
      endTokens: endTokens ?? codec.endOfGenerationTokens, vocabularySize: vocabularySize,
      memoryLimit: memoryLimit)
  }

  init(
    _ constraint: Constraint, trie: TokenTrie, codec: any TokenCodec, endTokens: Set<Token>,
    vocabularySize: Int, memoryLimit: Int = TokenConstraint.memoryLimit
  ) throws(EngineError) {
    self.constraint = constraint
    self.endTokens = endTokens
    var table = ConstraintTable(
      constraint.grammar, trie: trie, codec: codec, endTokens: endTokens,
      vocabularySize: max(vocabularySize, trie.vocabularySize), memoryLimit: memoryLimit)
    try table.requireSpelling(of: constraint.name)
    self.table = Mutex(table)
  }

  /// Before any text.
  public func makeState() -> ConstraintState { table.withLock { $0.makeState() } }

  /// Takes a token. False, and nothing changed, where it is not allowed.
  public func advance(_ state: inout ConstraintState, by token: Token) -> Bool {
    advance(&state, by: token, isForced: false)
  }

  func advance(_ state: inout ConstraintState, by token: Token, isForced: Bool) -> Bool {
    table.withLock { $0.advance(&state, by: token, isForced: isForced) }
  }

  /// Takes the bytes of tokens that the caller chose. Throws `argument`, and changes nothing, where
  /// they break the constraint, naming the offset.
  public func append(_ tokens: [Token], to state: inout ConstraintState) throws(EngineError) {
    let result = table.withLock { table -> Result<ConstraintState, EngineError> in
      do throws(EngineError) {
        return .success(try table.appended(tokens, to: state))
      } catch {
        return .failure(error)
      }
    }
    state = try result.get()
  }

  /// The tokens that may come next; never empty while the text is not complete.
  ///
  /// Throws `argument` when the vocabulary has no token for what must come, naming it. Under a
  /// millisecond for a place that is new; a look-up after that.
  public func mask(of state: inout ConstraintState) throws(EngineError) -> TokenMask {
    let result = table.withLock { table -> Result<TokenMask, EngineError> in
      do throws(EngineError) {
        return .success(try table.checkedMask(of: &state))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// The token that must come next, if there is only one or if the text that must come has one
  /// spelling by the tokenizer; then no logits are needed. Where only ends are left it is the
  /// lowest end token.
  ///
  /// A spelling is taken token by token as long as forced text remains behind the token, so that a
  /// boundary never cuts through what the model might have merged.
  public func forcedToken(after state: inout ConstraintState) -> Token? {
    table.withLock { $0.forcedToken(after: &state) }
  }

  /// Whether the text may end here.
  public func mayEnd(_ state: inout ConstraintState) -> Bool {
    table.withLock { $0.accepts(&state) }
  }

  /// Whether nothing but an end may come.
  public func isComplete(_ state: inout ConstraintState) -> Bool {
    table.withLock { $0.isComplete(&state) }
  }

  /// How many places are known and how many masks are kept now.
  public var usage: (places: Int, masks: Int) { table.withLock { ($0.placeCount, $0.maskCount) } }
}
