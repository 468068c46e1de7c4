import MartletModel

/// Branches that one call made from one point, whose first chosen tokens are drawn together.
///
/// Its draw is a function of the run's seed, the parent's path, the first child's index and the row
/// of logits that all members share, so it does not matter which of them is drawn for first, or when.
/// Used with the engine's lock held.
final class SiblingGroup {
  let parent: BranchPath
  let first: UInt32
  private let count: Int
  /// Tokens of the sequence, and of them generated ones, at the fork.
  private let position: Int
  private let generated: Int
  /// What was drawn for the first of the members, or for all.
  private var drawn: [SampledToken] = []

  /// A group of the next `count` children of `state`; nil where the run's draws are no different in
  /// a group.
  init?(of state: BranchState, count: Int) {
    guard count > 1, state.run.sampling.draw.spreadsOverSiblings else { return nil }
    parent = state.path
    first = state.nextChild
    self.count = count
    position = state.lane.tokens.count
    generated = state.count
  }

  /// Stands for the group in a run's log: what its members draw depends on how many they are.
  var fingerprint: UInt64 { UInt64(count) << 32 | UInt64(first) }

  /// Whether the next token of a member is the first that is chosen since the fork: text that a
  /// constraint forces is the same for all, text of its own or a new epoch takes a branch out.
  func isNext(for state: BranchState, epoch: UInt32? = nil) -> Bool {
    guard epoch ?? state.epoch == 0 else { return false }
    let since = state.count - generated
    return since == 0
      || since > 0 && state.constraintState?.forcedTokens(from: generated) == since
  }

  /// The token of a member. Where there are fewer tokens than siblings, those left over are drawn
  /// for as a group of their own, so that every token is taken before one is taken again.
  func token(
    for state: BranchState, by draw: (SamplingNoise, Int) throws(EngineError) -> [SampledToken]
  ) throws(EngineError) -> SampledToken {
    let index = Int(state.path.indices.last! - first)
    while drawn.count <= index {
      let noise = state.run.siblingDraws.noise(
        path: parent, epoch: first + UInt32(drawn.count), position: position)
      drawn += try draw(noise, count - drawn.count)
    }
    return drawn[index]
  }
}

extension SamplingOptions.Draw {
  /// Whether siblings drawn together get other tokens than siblings drawn one by one.
  var spreadsOverSiblings: Bool {
    switch self {
    case .inverse, .gumbel: false
    case .arithmetic, .withoutReplacement, .priority: true
    }
  }
}

extension EngineCore {
  /// Chooses a branch's next token from its row of logits. With the lock held, on the driver thread.
  func choose(
    _ row: Span<Float>, guidedBy guide: Span<Float>? = nil, for state: BranchState
  ) throws(EngineError) -> SampledToken {
    let run = state.run
    if let own = state.flight?.sampler ?? (guide == nil ? run.unguided : nil) {
      return try choose(row, guidedBy: guide, for: state, own)
    }
    let history = state.lane.tokens[...]
    let allowed = try allowedTokens(state)
    if let group = state.siblings, group.isNext(for: state) {
      return try group.token(for: state) { noise, count throws(EngineError) in
        try run.sampler.sampleGroup(
          row, history: history, count: count, noise: noise, generated: state.count,
          mirostatMu: state.mirostatMu, allowed: allowed, guide: guide)
      }
    }
    if let tested = try verified(row, state, allowed: allowed) { return tested }
    return try run.sampler.sample(
      row, history: history,
      noise: run.draws.noise(path: state.path, epoch: state.epoch, position: history.count),
      generated: state.count, mirostatMu: state.mirostatMu, allowed: allowed, guide: guide)
  }

  /// Draws under rules other than the run's: those of the branch's advance, or unguided.
  private func choose(
    _ row: Span<Float>, guidedBy guide: Span<Float>?, for state: BranchState,
    _ own: FlightSampler
  ) throws(EngineError) -> SampledToken {
    let history = state.lane.tokens[...]
    let noise = state.run.draws.noise(
      path: state.path, epoch: state.epoch, position: history.count)
    let allowed = try allowedTokens(state)
    if let guide, own.guided != nil {
      return try own.guided!.sample(
        row, history: history, noise: noise, generated: state.count,
        mirostatMu: state.mirostatMu, allowed: allowed, guide: guide)
    }
    return try own.plain.sample(
      row, history: history, noise: noise, generated: state.count, mirostatMu: state.mirostatMu,
      allowed: allowed)
  }
}
