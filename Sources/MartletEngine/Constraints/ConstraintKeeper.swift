import MartletModel
import Synchronization

/// An engine's vocabulary as a trie, and the constraints that were made for it: both once.
final class ConstraintKeeper: Sendable {
  /// Constraints that are kept, the latest used last. Runs that use another keep it themselves.
  private static let capacity = 16

  private struct State {
    var trie: TokenTrie?
    var compiled: [TokenConstraint] = []
  }
  private let state = Mutex(State())

  func compiled(
    _ constraint: Constraint, core: EngineCore, stops: StopRules
  ) throws(EngineError) -> TokenConstraint {
    var endTokens = stops.stopTokens
    if stops.stopAtEndOfGeneration { endTokens.formUnion(core.endTokens) }
    let result = state.withLock { state -> Result<TokenConstraint, EngineError> in
      let known = state.compiled.firstIndex {
        $0.constraint === constraint && $0.endTokens == endTokens
      }
      do throws(EngineError) {
        let trie = state.trie ?? TokenTrie(core.codec)
        state.trie = trie
        let compiled: TokenConstraint
        if let known {
          compiled = state.compiled.remove(at: known)
        } else {
          compiled = try TokenConstraint(
            constraint, trie: trie, codec: core.codec, endTokens: endTokens,
            vocabularySize: core.backend.vocabularySize)
        }
        state.compiled.append(compiled)
        if state.compiled.count > Self.capacity { state.compiled.removeFirst() }
        return .success(compiled)
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }
}

/// What a constraint decides without the model.
enum ForcedStep: Equatable {
  case token(Token)
  /// The text is complete, and no token ends it.
  case end
}

/// Constraints in the course of a run. With the lock held.
extension EngineCore {
  /// What must come next in a branch, if that is certain. Then no pass is made for its logits; the
  /// token goes through the model together with what follows it.
  func forcedStep(_ state: BranchState) -> ForcedStep? {
    if state.run.isReplay { return recordedStep(state) }
    // Who asks what the model thinks is not answered by what must come.
    guard let constraint = state.constraint, state.flight?.query == nil else { return nil }
    if let token = constraint.forcedToken(after: &state.constraintState!) { return .token(token) }
    return constraint.isComplete(&state.constraintState!) ? .end : nil
  }

  /// The tokens that may come next; nil for all.
  func allowedTokens(_ state: BranchState) throws(EngineError) -> TokenMask? {
    guard let constraint = state.constraint else { return nil }
    return try constraint.mask(of: &state.constraintState!)
  }

  /// Takes a forced token. Nothing was chosen, so its log-probability is 0; the entropy is that of
  /// the last choice, as for appended text.
  func takeForced(_ token: Token, _ state: BranchState) {
    let run = state.run
    run.statistics.generatedTokens += 1
    run.statistics.forcedTokens += 1
    totals.sampledTokens += 1
    totals.forcedTokens += 1
    let entropy = state.entropies.last ?? 0
    let taken = SampledToken(
      token: token, logprob: 0, entropy: entropy, keptLogprob: nil, kept: 1, gap: .infinity)
    take(taken, state, isForced: true)
  }

  /// Follows a drawn token.
  func constrain(_ state: BranchState, taking token: Token, isForced: Bool) {
    guard let constraint = state.constraint else { return }
    let isTaken = constraint.advance(&state.constraintState!, by: token, isForced: isForced)
    precondition(isTaken, "a token outside the mask was drawn")
  }

  /// Follows appended text; throws where it breaks the constraint.
  func constrain(_ state: BranchState, appending tokens: [Token]) throws(EngineError) {
    guard let constraint = state.constraint else { return }
    do throws(EngineError) {
      try constraint.append(tokens, to: &state.constraintState!)
    } catch {
      throw EngineError(error.code, "branch \(state.path): \(error.message)")
    }
  }
}
