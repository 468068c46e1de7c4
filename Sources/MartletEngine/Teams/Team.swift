import MartletModel

/// Branches that write side by side, each reading what the others have written, token by token.
///
/// A member has what all members share, the tokens of the branch they were forked from, and a block of
/// its own, everything after that. To a member the text is the shared part, the others' blocks and its
/// own, laid out by ``Layout-swift.enum``, so that what it writes next follows both. Keys and values
/// stay where their writer stored them; a reader's query is rotated to where it stands from there, once
/// for each block, so that pages are read in place and nothing is copied.
///
/// **Rounds.** Members advance as any branches do (``Run/advance(_:_:)``, ``Run/submit(_:_:)``). Those
/// that do take their tokens in step: a pass has the last token of every member, or none of them, and
/// each sees all of them. Text that was appended is read beforehand; it sees its own block up to itself
/// and of the others what they had in their blocks before. Who has stopped or waits stays in view; the
/// token that ended a sequence does not come into it. A member that others went on without processes its
/// last token again when it goes on, so that it sees what they wrote. A member that has no block yet
/// draws its first token from what follows the shared part.
///
/// Members have the same texts whatever the threads, other runs and the size of passes. While a run has
/// a team its branches draw round by round, none ahead of another, and a team's passes run while somebody
/// waits for the run. Members draw without drafts, and what all of them hold together fits the context:
/// who would pass it stops with ``StopReason/context``.
///
/// **The end.** A member that is released is out of the others' view from the next round on, and its pages
/// return. One that leaves (``leave(_:)``) keeps its text and its keys and values, which hold what it took
/// from the others, and goes on as an ordinary branch. A team ends with its last member; it does not need
/// this handle to live on. While it is in a team a branch cannot be forked, truncated, reopened,
/// resampled, demoted or have spans dropped (``EngineError/Code/state``).
///
/// Source: "Hogwild! Inference: Parallel LLM Generation via Concurrent Attention". There the cache's common
/// part can take up finished steps too, which ``Layout-swift.enum/interleaved`` and
/// ``Layout-swift.enum/combined`` do here.
public final class Team: Sendable {
  /// In which order a member sees what there is. The shared part comes first and its own text since its
  /// last step last.
  public enum Layout: String, Sendable, CaseIterable {
    /// The others' blocks in the order of members, then its own.
    case contiguous
    /// Steps in the order in which ``Team/endStep(_:)`` ended them, its own among them; nothing of the
    /// others' unfinished ones.
    case interleaved
    /// Steps as in `interleaved`, then the others' unfinished ones in the order of members.
    case combined
  }

  /// See ``Layout-swift.enum``.
  public let layout: Layout
  /// How many tokens all members share.
  public let sharedTokens: Int
  let core: EngineCore
  let state: TeamState

  init(core: EngineCore, state: TeamState) {
    (self.core, self.state) = (core, state)
    (layout, sharedTokens) = (state.layout, state.sharedTokens)
  }

  /// Those that have neither left nor been released, in their order.
  public var members: [Branch] {
    core.locked { () throws(Never) in state.members.compactMap(\.state.handle) }
  }

  /// Tokens of all that members see together: the shared part and all blocks.
  public var tokens: Int { core.locked { () throws(Never) in state.tokenCount } }

  /// The tokens as a member sees them, its own last. Those drawn in the last round are among them,
  /// though no pass has read them yet.
  /// - Throws: ``EngineError/Code/state`` for a branch that is not in the team.
  /// - Complexity: O(tokens of all members).
  public func context(of branch: Branch) throws(EngineError) -> [Token] {
    try core.locked { () throws(EngineError) in
      try state.requireMember(branch.state)
      return state.context(of: branch.state)
    }
  }

  /// Ends a member's step: the text since its last one goes among the finished steps, behind those of all
  /// members, and the next step begins. Nothing under ``Layout-swift.enum/contiguous``, or for a step
  /// without tokens.
  /// - Throws: ``EngineError/Code/state`` for a branch that is not in the team, or while it advances.
  public func endStep(_ branch: Branch) throws(EngineError) {
    try core.endStep(of: branch.state, in: state)
  }

  /// Takes a member out of the team. It is an ordinary branch then: its last token is processed again, and
  /// what it writes from now on sees the shared part and its own block alone; what that took from the others
  /// stays in its keys and values.
  /// - Throws: ``EngineError/Code/state`` for a branch that is not in the team, or while it advances.
  public func leave(_ branch: Branch) throws(EngineError) {
    try core.leave(branch.state, state)
  }

  /// Takes all members out, as ``leave(_:)`` does.
  /// - Throws: ``EngineError/Code/state`` while one of them advances; then all are still in it.
  public func dissolve() throws(EngineError) { try core.dissolve(state) }
}

extension Branch {
  /// The team that it is a member of; nil for none.
  public var team: Team? {
    core.locked { () throws(Never) in state.team }.map { Team(core: core, state: $0) }
  }
}

extension Run {
  /// Whether ``makeTeam(_:sharing:layout:)`` works here: the model attends to everything before a token,
  /// and nothing guides the run.
  public var canMakeTeams: Bool { core.backend.supportsTeams && state.guidance == nil }

  /// Makes a team of forks of one branch; see ``Team``. What they hold already is read as an ordinary
  /// branch's if it was processed before; appended text that was not is read as a member's.
  ///
  /// - Parameters:
  ///   - members: at least one, forked from `parent` at its present length, in the order in which others
  ///     see them. Draws go by their paths, as ever.
  ///   - parent: what they share; it stays an ordinary branch.
  ///   - layout: in which order a member sees what there is.
  /// - Throws: ``EngineError/Code/backend`` where the model cannot do it (it attends to less than everything
  ///   before a token: a sliding window, retrieval, eviction or pruning); ``EngineError/Code/argument`` for a
  ///   guided run, a branch named twice or of another run, one that does not begin with what `parent`
  ///   holds, or more members than a pass has rows for; ``EngineError/Code/state`` for one that advances or
  ///   is in a team; ``EngineError/Code/context`` when together they exceed the context;
  ///   ``EngineError/Code/released``, ``EngineError/Code/cancelled``.
  /// - Complexity: O(tokens shared × members). Each round a member's row costs as in a branch of as many
  ///   tokens as it sees, and a query for each block; pages are read once for all members.
  public func makeTeam(
    _ members: [Branch], sharing parent: Branch, layout: Team.Layout = .contiguous
  ) throws(EngineError) -> Team {
    let made = try core.makeTeam(
      state, members.map(\.state), sharing: parent.state, layout: layout)
    return Team(core: core, state: made)
  }
}

extension Branch {
  /// Whether it is a member of a team now.
  package var isInTeam: Bool { core.locked { () throws(Never) in state.team != nil } }
}
