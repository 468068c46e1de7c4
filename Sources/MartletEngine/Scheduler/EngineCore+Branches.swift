import MartletModel

/// Calls that make, change and give up branches.
extension EngineCore {
  func makeRoot(_ run: RunState, prompt: [Token]) -> Branch {
    let state = BranchState(run: run, path: .root, lane: Lane(run: run, prompt: prompt))
    state.companion = run.guidance?.prompt.map { Lane(run: run, prompt: $0) }
    locked { () throws(Never) in beginDrafting(state) }
    return handle(for: state)
  }

  func open(_ run: RunState, prompt: [Token]) throws(EngineError) -> Branch {
    try checkPrompt(prompt)
    try checkRoom(for: [prompt.count], limit: kvPageLimit(of: run).map { $0 * run.bytesPerPage })
    return try locked { () throws(EngineError) in
      guard !isStopping else { throw EngineError(.cancelled, "the engine was shut down") }
      try reserve(
        prompt.count, readings: run.guidance?.readingsPerOpenedToken ?? 0, of: run)
      run.opened += 1
      // Children of the root count up from 0; these come after all of them.
      let path = BranchPath.root.child(.max - run.opened + 1)
      run.record(.opened(path: path, tokens: prompt.count))
      run.statistics.promptTokens += prompt.count
      run.promptCount += prompt.count
      let lane = Lane(run: run, prompt: prompt)
      return handle(for: BranchState(run: run, path: path, lane: lane, isConstrained: false))
    }
  }

  func checkPrompt(_ prompt: [Token]) throws(EngineError) {
    guard !prompt.isEmpty else {
      throw EngineError(.argument, "the prompt has no tokens; give at least one")
    }
    let context = contextLength
    guard prompt.count <= context else {
      throw EngineError(
        .context,
        "the prompt has \(prompt.count) tokens but the context of \(backend.name) holds "
          + "\(context); shorten the prompt")
    }
    try checkVocabulary(prompt, what: "the prompt")
  }

  /// Bytes of the pages of sequences of so many tokens.
  func room(for sequences: [Int]) -> Int {
    sequences.reduce(0) {
      $0 + PagePool.pages(for: $1, pageTokens: backend.pageTokens) * backend.bytesPerPage
    }
  }

  /// Throws for sequences whose keys and values would not fit if they had everything to themselves:
  /// nothing could come of work on them.
  /// - Parameter limit: the run's own bytes; nil for the engine's alone.
  func checkRoom(for sequences: [Int], limit: Int?) throws(EngineError) {
    let needed = room(for: sequences)
    let allowed = min(limit ?? .max, configuration.kvBytesLimit)
    guard needed > allowed / backend.bytesPerPage * backend.bytesPerPage else { return }
    let isOwn = limit.map { $0 < configuration.kvBytesLimit } ?? false
    throw EngineError(
      .budget,
      "the keys and values of \(sequences.reduce(0, +)) tokens of \(backend.name) need \(needed) "
        + "bytes, and \(isOwn ? "the run's budget of kv_bytes" : "the engine's limit (kvBytesLimit, --kv-bytes)") "
        + "allows \(allowed); raise it to \(needed) or more, shorten the context, or store keys and "
        + "values in fewer bits")
  }

  /// Has the run's gate grant tokens that are given, not drawn.
  private func reserve(_ tokens: Int, readings: Int, of run: RunState) throws(EngineError) {
    if run.reserveGiven(tokens, readings: readings) { return }
    throw EngineError(.budget, "the run's budget has no room for \(tokens) more prompt tokens")
  }

  func view<R>(_ state: BranchState, _ body: (BranchView) -> R) -> R {
    locked { () throws(Never) in body(BranchView(state)) }
  }

  func isReleased(_ state: BranchState) -> Bool {
    locked { () throws(Never) in state.isReleased }
  }

  func kvPages(_ state: BranchState) -> Int {
    locked { () throws(Never) in
      state.isReleased ? 0 : state.lanes.reduce(0) { $0 + pool.pageCount($1) }
    }
  }

  func fork(_ state: BranchState, count: Int) throws(EngineError) -> [Branch] {
    guard count >= 0 else {
      throw EngineError(.argument, "fork count is \(count); it must be 0 or more")
    }
    return try locked { () throws(EngineError) in
      try requireIdle(state, "forked")
      try requireAlone(state, "forked")
      guard count > 0 else { return [] }
      state.run.record(
        .forked(path: state.path, first: Int(state.nextChild), count: count))
      let group = SiblingGroup(of: state, count: count)
      return makeChildren(of: state, count: count, group).map(handle(for:))
    }
  }

  func forkCost(_ state: BranchState, count: Int) -> Int {
    locked { () throws(Never) in
      guard !state.isReleased, count > 0 else { return 0 }
      // What is left of the common tokens once, then one page per child: its own copy of the last
      // page, or a new one when that is full.
      return state.lanes.reduce(0) { bytes, lane in
        let common = PagePool.pages(for: lane.tokens.count, pageTokens: backend.pageTokens)
        return bytes + (common - pool.pageCount(lane) + count) * backend.bytesPerPage
      }
    }
  }

  func truncate(_ state: BranchState, toGenerated generated: Int) throws(EngineError) {
    try locked { () throws(EngineError) in
      try requireIdle(state, "truncated")
      try requireAlone(state, "truncated")
      guard generated >= 0 && generated <= state.count else {
        throw EngineError(
          .argument,
          "cannot truncate branch \(state.path) to \(generated) tokens: it has \(state.count)")
      }
      state.run.record(.truncated(path: state.path, generated: generated))
      state.epoch += 1
      state.lastStart = nil
      if generated < state.count {
        cut(state, to: generated)
        state.stop = .none
      } else if !state.stop.isFinal {
        state.stop = .none
      }
    }
  }

  func append(_ state: BranchState, tokens: [Token]) throws(EngineError) {
    try checkVocabulary(tokens, what: "the appended text")
    try locked { () throws(EngineError) in
      try requireIdle(state, "appended to")
      guard !state.stop.isFinal else {
        throw EngineError(
          .state,
          "branch \(state.path) is finished (\(state.stop)); truncate it before appending")
      }
      let total = (state.team?.tokenCount ?? state.lane.tokens.count) + tokens.count
      guard total <= state.run.contextLength else {
        throw EngineError(
          .context,
          "branch \(state.path)\(state.team == nil ? "" : " and its team") would have \(total) tokens but the context of \(backend.name) "
            + "holds \(state.run.contextLength)")
      }
      guard !tokens.isEmpty else { return }
      try reserve(
        tokens.count, readings: state.run.guidance?.readingsPerToken ?? 0, of: state.run)
      try constrain(state, appending: tokens)
      state.run.record(.appended(path: state.path, tokens: tokens.count))
      state.run.statistics.promptTokens += tokens.count
      let known = state.lane.tokens.count
      state.lastStart = nil
      state.append(tokens)
      remember(from: known, state)
      state.logprobs += tokens.map { _ in 0 }
      state.entropies += tokens.map { _ in state.entropies.last ?? 0 }
      if let mu = state.mirostatMu { state.mirostatStates += tokens.map { _ in mu } }
      for token in tokens { state.text.append(codec.bytes(of: token, renderSpecial: false)) }
      state.stop = .none
    }
  }

  func reopen(_ state: BranchState) throws(EngineError) -> Branch {
    let (branch, rest) = try locked { () throws(EngineError) in
      try requireIdle(state, "reopened")
      try requireAlone(state, "reopened")
      state.run.record(.forked(path: state.path, first: Int(state.nextChild), count: 1))
      let child = makeChildren(of: state, count: 1, nil)[0]
      let kept = endsWithEndToken(child) ? child.count - 1 : child.text.tokensInText
      let rest = child.text.rest(afterTokens: kept)
      child.epoch += 1
      child.lastStart = nil
      child.constraintState = nil
      if kept < child.count { cut(child, to: kept) }
      child.stop = .none
      return (handle(for: child), rest)
    }
    if !rest.isEmpty {
      try append(branch.state, tokens: encode(rest, for: state.run))
    }
    return branch
  }

  /// Whether a token ended the sequence; a constraint may have ended it too.
  private func endsWithEndToken(_ state: BranchState) -> Bool {
    guard state.stop == .endOfSequence, state.count > 0, let last = state.lane.tokens.last else {
      return false
    }
    let stops = state.run.stops
    return (stops.stopAtEndOfGeneration && endTokens.contains(last))
      || stops.stopTokens.contains(last)
  }

  func mark(_ state: BranchState, _ reason: StopReason) {
    locked { () throws(Never) in
      guard state.flight == nil, !state.stop.isFinal, !reason.isFinal else { return }
      state.stop = reason
    }
  }

  func demote(_ state: BranchState) throws(EngineError) -> Int {
    try locked { () throws(EngineError) in
      try requireIdle(state, "demoted")
      try requireAlone(state, "demoted")
      let pages = state.lanes.reduce(0) {
        $0 + pool.demote($1, pageTokens: backend.pageTokens)
      }
      state.run.record(.demoted(path: state.path, pages: pages))
      return pages * backend.bytesPerPage
    }
  }

  func resample(
    _ run: RunState, population: [BranchState], ancestors: [Int]
  ) throws(EngineError) -> [Branch] {
    try locked { () throws(EngineError) in
      for state in population {
        try requireIdle(state, "resampled")
        try requireAlone(state, "resampled")
        try require(state, of: run)
      }
      guard Set(population.map(ObjectIdentifier.init)).count == population.count else {
        throw EngineError(.argument, "the population names a branch twice")
      }
      if let bad = ancestors.first(where: { $0 < 0 || $0 >= population.count }) {
        throw EngineError(
          .argument, "ancestor \(bad) is outside the population of \(population.count)")
      }
      run.record(.resampled(population: population.count, results: ancestors.count))
      var groups: [Int: SiblingGroup] = [:]
      for (ancestor, clones) in Dictionary(grouping: ancestors, by: { $0 }) {
        groups[ancestor] = SiblingGroup(of: population[ancestor], count: clones.count)
      }
      let results = ancestors.map {
        handle(for: makeChildren(of: population[$0], count: 1, groups[$0])[0])
      }
      for state in population { give(up: state) }
      return results
    }
  }

  func release(_ state: BranchState) {
    locked { () throws(Never) in
      give(up: state)
      wake()
    }
  }

  // MARK: With the lock held

  /// Returns a branch's pages. Its tokens and text stay readable.
  func give(up state: BranchState) {
    guard !state.isReleased else { return }
    if state.flight != nil { withdraw(state, rollingBack: !state.run.isAwaited) }
    state.isReleased = true
    part(state)
    state.run.record(.released(path: state.path))
    for lane in state.lanes { pool.drop(lane) }
    resolve(state.run)
  }

  /// Cuts a branch to `generated` tokens, in the same epoch.
  func cut(_ state: BranchState, to generated: Int) {
    state.truncateRecords(to: generated)
    for lane in state.lanes {
      pool.truncate(lane, to: lane.promptCount + generated, pageTokens: backend.pageTokens)
    }
    state.team?.truncated(state)
  }

  func requireIdle(_ state: BranchState, _ verb: String) throws(EngineError) {
    guard !isStopping else { throw EngineError(.cancelled, "the engine was shut down") }
    guard !state.isReleased else {
      throw EngineError(.released, "branch \(state.path) was released and cannot be \(verb)")
    }
    guard state.flight == nil else {
      throw EngineError(
        .state,
        "branch \(state.path) is advancing and cannot be \(verb); cancel it or wait for it")
    }
  }

  func require(_ state: BranchState, of run: RunState) throws(EngineError) {
    guard state.run === run else {
      throw EngineError(.argument, "branch \(state.path) belongs to another run")
    }
  }

  /// Children that share the branch's lane as their base. See ``Lane``.
  private func makeChildren(
    of state: BranchState, count: Int, _ group: SiblingGroup?
  ) -> [BranchState] {
    let base = shareLane(&state.lane)
    let companionBase = state.companion != nil ? shareLane(&state.companion!) : nil
    return (0..<count).map { _ in
      let child = BranchState(
        run: state.run, path: state.path.child(state.nextChild), lane: Lane(on: base),
        isConstrained: false)
      child.companion = companionBase.map { Lane(on: $0) }
      state.nextChild += 1
      child.memory = state.memory
      child.siblings = group
      child.logprobs = state.logprobs
      child.entropies = state.entropies
      child.mirostatStates = state.mirostatStates
      child.text = state.text
      child.lastStart = state.stop == .step ? nil : state.lastStart
      child.constraintState = state.constraintState
      child.stop = state.stop.isFinal ? state.stop : .none
      return child
    }
  }

  /// Makes a branch's lane one on a common base, unless it is, and returns the base.
  private func shareLane(_ lane: inout Lane) -> Lane {
    if let shared = lane.base, shared.tokens.count == lane.tokens.count { return shared }
    let base = lane
    lane = Lane(on: base)
    base.isOwned = false
    if base.logits != nil { cachedBases.append(CachedBase(lane: base)) }
    return base
  }

  private func handle(for state: BranchState) -> Branch {
    let branch = Branch(core: self, state: state)
    state.handle = branch
    return branch
  }
}
