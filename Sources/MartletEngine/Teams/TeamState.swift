import MartletModel

/// What the engine knows of a team. Used with the engine's lock held.
final class TeamState: @unchecked Sendable {
  // @unchecked: mutable state is guarded by the engine's lock, as stated above.
  let run: RunState
  let layout: Team.Layout
  let sharedTokens: Int
  private let endTokens: Set<Token>
  /// In the order in which others see them. They refer to the team until they leave it or are released.
  private(set) var members: [Member]
  /// Finished steps, in order; positions of their writers.
  private(set) var steps: [Step] = []
  /// While appended text is read that takes several passes: how many positions of each member had been
  /// processed when that began, which is what others see of it meanwhile.
  var read: [Int]?
  /// Stands for what members saw in the last round, in a run's log.
  private(set) var fingerprint: UInt64 = 0

  struct Member {
    let state: BranchState
    /// Where its unfinished step begins.
    var stepStart: Int
  }

  struct Step {
    let state: BranchState
    let positions: Range<Int>
  }

  init(
    _ run: RunState, _ members: [BranchState], sharedTokens: Int, layout: Team.Layout,
    endTokens: Set<Token>
  ) {
    (self.run, self.layout, self.sharedTokens) = (run, layout, sharedTokens)
    self.endTokens = endTokens
    self.members = members.map { Member(state: $0, stepStart: sharedTokens) }
  }

  /// The shared part and all blocks.
  var tokenCount: Int {
    members.reduce(sharedTokens) { $0 + $1.state.lane.tokens.count - sharedTokens }
  }

  /// Whether a member can go on: there is room for a token of each that advances.
  func isFull(context: Int) -> Bool {
    tokenCount + members.count { $0.state.isRunning } > context
  }

  func index(of state: BranchState) -> Int? { members.firstIndex { $0.state === state } }

  func requireMember(_ state: BranchState) throws(EngineError) {
    guard state.team === self else {
      throw EngineError(.state, "branch \(state.path) is not in the team, or has left it")
    }
  }

  func remove(_ state: BranchState) {
    guard let index = index(of: state) else { return }
    members.remove(at: index)
    read?.remove(at: index)
    steps.removeAll { $0.state === state }
    state.team = nil
  }

  func endStep(of state: BranchState) {
    guard layout != .contiguous, let index = index(of: state) else { return }
    let positions = members[index].stepStart..<state.lane.tokens.count
    guard !positions.isEmpty else { return }
    steps.append(Step(state: state, positions: positions))
    members[index].stepStart = positions.upperBound
  }

  /// What was cut off is in no step.
  func truncated(_ state: BranchState) {
    guard let index = index(of: state) else { return }
    let count = state.lane.tokens.count
    steps = steps.compactMap { step in
      guard step.state === state, step.positions.upperBound > count else { return step }
      return step.positions.lowerBound < count
        ? Step(state: state, positions: step.positions.lowerBound..<count) : nil
    }
    members[index].stepStart = min(members[index].stepStart, count)
  }

  /// What a member's token at `position`, behind the shared part, sees, in order: stretches of members'
  /// positions, its own last.
  /// - Parameter ends: how many positions of each member there are to see.
  func stretches(
    of member: Int, at position: Int, ends: [Int]
  ) -> [(member: Int, positions: Range<Int>)] {
    var stretches = [(member, 0..<sharedTokens)]
    func add(_ other: Int, from first: Int, to last: Int) {
      if first < last { stretches.append((other, first..<last)) }
    }
    // Its own step, which may have been ended since.
    var start = members[member].stepStart
    if layout == .contiguous {
      start = sharedTokens
    } else {
      let own = steps.first {
        $0.state === members[member].state && $0.positions.contains(position)
      }
      start = own?.positions.lowerBound ?? start
      for step in steps {
        guard let writer = index(of: step.state) else { continue }
        if writer == member && step.positions.lowerBound >= start { continue }
        let end = step.positions.upperBound
        add(
          writer, from: step.positions.lowerBound,
          to: writer == member ? end : min(end, ends[writer]))
      }
    }
    if layout != .interleaved {
      for other in members.indices where other != member {
        let first = layout == .contiguous ? sharedTokens : members[other].stepStart
        add(other, from: first, to: ends[other])
      }
    }
    add(member, from: start, to: position + 1)
    return stretches
  }

  /// How many of a member's tokens are to be seen: not the one that ended its sequence.
  func visibleCount(_ state: BranchState) -> Int {
    guard state.stop == .endOfSequence, state.count > 0, let last = state.lane.tokens.last else {
      return state.lane.tokens.count
    }
    let ends =
      (run.stops.stopAtEndOfGeneration && endTokens.contains(last))
      || run.stops.stopTokens.contains(last)
    return state.lane.tokens.count - (ends ? 1 : 0)
  }

  /// The tokens that a member sees, the one that ended another's sequence left out.
  func context(of state: BranchState) -> [Token] {
    guard let member = index(of: state) else { return [] }
    let last = state.lane.tokens.count - 1
    guard last >= sharedTokens else { return state.lane.tokens }
    let ends = members.map { visibleCount($0.state) }
    return stretches(of: member, at: last, ends: ends).flatMap { other, positions in
      members[other].state.lane.tokens[positions]
    }
  }

  /// Notes what members are about to see.
  func markRound() {
    var key = DrawKey()
    key.add(UInt64(Team.Layout.allCases.firstIndex(of: layout) ?? 0))
    for member in members {
      key.add(member.state.path.hashBits)
      let lane = member.state.lane
      key.add(lane.contextKey.value(of: lane.tokens, promptCount: lane.promptCount).value)
      key.add(UInt64(member.stepStart))
    }
    for step in steps {
      key.add(step.state.path.hashBits)
      key.add(UInt64(step.positions.lowerBound))
    }
    fingerprint = key.value
  }
}
