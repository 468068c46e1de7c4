import MartletModel

/// Making and ending teams.
extension EngineCore {
  func makeTeam(
    _ run: RunState, _ states: [BranchState], sharing parent: BranchState, layout: Team.Layout
  ) throws(EngineError) -> TeamState {
    guard backend.supportsTeams else {
      throw EngineError(
        .backend,
        "\(backend.name) cannot have branches read one another's pages: that takes exact attention to "
          + "everything before a token (no sliding window, retrieval, eviction or pruning)")
    }
    guard run.guidance == nil else {
      throw EngineError(
        .argument, "a guided run has no teams: what guides a choice reads one branch's text")
    }
    let most = max(1, maximumBatch - max(1, maximumBatch / 8))
    guard (1...most).contains(states.count) else {
      throw EngineError(
        .argument,
        "a team of \(states.count) branches; 1 to \(most) can go through a pass of \(maximumBatch) rows"
      )
    }
    return try locked { () throws(EngineError) in
      try require(parent, of: run)
      try requireIdle(parent, "shared by a team")
      let shared = parent.lane.tokens
      for state in states {
        try require(state, of: run)
        try requireIdle(state, "put in a team")
        try requireAlone(state, "put in a team")
        guard state.promptCount <= shared.count, state.lane.tokens.starts(with: shared) else {
          throw EngineError(
            .argument,
            "branch \(state.path) does not begin with what branch \(parent.path) holds; make a team of "
              + "forks of one branch")
        }
      }
      guard Set(states.map(ObjectIdentifier.init)).count == states.count else {
        throw EngineError(.argument, "a branch is named twice")
      }
      let team = TeamState(
        run, states, sharedTokens: shared.count, layout: layout, endTokens: endTokens)
      guard team.tokenCount <= run.contextLength else {
        throw EngineError(
          .context,
          "the team would have \(team.tokenCount) tokens but the context of \(backend.name) holds "
            + "\(run.contextLength)")
      }
      for state in states { state.team = team }
      run.teamMembers += states.count
      return team
    }
  }

  func endStep(of state: BranchState, in team: TeamState) throws(EngineError) {
    try locked { () throws(EngineError) in
      try team.requireMember(state)
      try requireIdle(state, "said to have ended a step")
      team.endStep(of: state)
    }
  }

  func leave(_ state: BranchState, _ team: TeamState) throws(EngineError) {
    try locked { () throws(EngineError) in
      try team.requireMember(state)
      try requireIdle(state, "taken out of its team")
      separate(state)
    }
  }

  func dissolve(_ team: TeamState) throws(EngineError) {
    try locked { () throws(EngineError) in
      for member in team.members { try requireIdle(member.state, "taken out of its team") }
      for member in team.members { separate(member.state) }
    }
  }

  // MARK: With the lock held

  func requireAlone(_ state: BranchState, _ verb: String) throws(EngineError) {
    guard state.team == nil else {
      throw EngineError(
        .state,
        "branch \(state.path) is in a team and cannot be \(verb); take it out of the team first")
    }
  }

  /// Takes a branch out of its team, if it is in one.
  func part(_ state: BranchState) {
    guard let team = state.team else { return }
    team.remove(state)
    state.run.teamMembers -= 1
  }

  /// Has a member go on by itself.
  private func separate(_ state: BranchState) {
    lookAgain(state)
    part(state)
  }

  /// What a member was about to draw from it drew from an earlier view: its last token is to be read again.
  func lookAgain(_ state: BranchState) {
    guard let team = state.team, state.lane.base == nil else { return }
    let lane = state.lane
    guard lane.tokens.count > team.sharedTokens, lane.processed == lane.tokens.count,
      !state.stop.isFinal
    else { return }
    lane.revision += 1
    lane.dropLogits()
    pool.setProcessed(lane, lane.tokens.count - 1, pageTokens: backend.pageTokens)
    lane.irreplaceable = min(lane.irreplaceable, lane.processed)
  }

  func isTeamFull(of state: BranchState) -> Bool {
    state.team?.isFull(context: state.run.contextLength) ?? false
  }
}
