import MartletModel

/// Calls that start, await and stop branches, and the clock of a run.
extension EngineCore {
  func gate(of run: RunState) -> (any TokenGate)? {
    locked { () throws(Never) in run.gate }
  }

  func isIdle(_ run: RunState) -> Bool {
    locked { () throws(Never) in run.flights.isEmpty }
  }

  func kvPageLimit(of run: RunState) -> Int? {
    locked { () throws(Never) in run.kvPageLimit }
  }

  func setKVPageLimit(_ limit: Int?, of run: RunState) {
    locked { () throws(Never) in run.kvPageLimit = limit }
  }

  func nextToken(of state: BranchState) -> NextToken? {
    locked { () throws(Never) in state.nextToken }
  }

  func setGate(_ gate: (any TokenGate)?, of run: RunState) {
    // The old one is let go of without the lock: what it holds may call the engine.
    _ = locked { () throws(Never) in
      defer { run.gate = gate }
      return run.gate
    }
  }

  /// Stops what a run that nobody can wait for any more had submitted.
  func abandon(_ run: RunState) {
    locked { () throws(Never) in
      for state in run.flights { withdraw(state, rollingBack: false) }
    }
  }

  func statistics(of run: RunState) -> RunStatistics {
    locked { () throws(Never) in
      var statistics = run.statistics
      statistics.guidanceTokens =
        run.guidance?.tokens(statistics, promptCount: run.promptCount) ?? 0
      return statistics
    }
  }

  func isCancelled(_ run: RunState) -> Bool {
    locked { () throws(Never) in run.isCancelled }
  }

  func submit(
    _ run: RunState, _ states: [BranchState], _ advance: Advance, events: Bool,
    onToken: (@Sendable (TokenEvent) -> Void)? = nil
  ) throws(EngineError) {
    if let limit = advance.maxTokens, limit < 0 {
      throw EngineError(.argument, "maxTokens is \(limit); it must be 0 or more")
    }
    guard !advance.delimiters.contains("") else {
      throw EngineError(.argument, "a delimiter is empty; leave it out or give it a text")
    }
    try advance.sampling?.validate(vocabularySize: backend.vocabularySize)
    try advance.query?.validate(vocabularySize: backend.vocabularySize)
    let sampler = advance.sampling.map { FlightSampler($0, guidance: run.activeGuidance) }
    try locked { () throws(EngineError) in
      try requireWorking(run)
      for state in states {
        try require(state, of: run)
        try requireIdle(state, "advanced")
      }
      guard Set(states.map(ObjectIdentifier.init)).count == states.count else {
        throw EngineError(.argument, "a branch is named twice")
      }
      // A submission while another thread waits joins at the round that thread has reached.
      let running = run.isAwaited ? run.flights.filter(\.isRunning).map(\.round).min() : nil
      let round = max(run.clock, running ?? run.clock)
      for state in states where events || !state.stop.isFinal || onToken != nil {
        launch(state, advance, sampler, round, events: events, onToken: onToken)
      }
      run.flights.sort { $0.path < $1.path }
      if !run.flights.isEmpty, !runs.contains(where: { $0 === run }) { runs.append(run) }
      wake()
    }
  }

  func waitAny(
    _ run: RunState, _ deliver: @escaping @Sendable (Result<StoppedBranch?, EngineError>) -> Void
  ) {
    locked { () throws(Never) in
      run.anyWaiters.append(.init(deliver: deliver))
      run.notePeak()
      resolve(run)
      wake()
    }
  }

  func waitAll(
    _ run: RunState, _ states: [BranchState],
    _ deliver: @escaping @Sendable (Result<Void, EngineError>) -> Void
  ) {
    locked { () throws(Never) in
      run.allWaiters.append(.init(states: states, deliver: deliver))
      run.notePeak()
      resolve(run)
      wake()
    }
  }

  func cancel(_ state: BranchState) {
    locked { () throws(Never) in
      guard state.flight != nil else { return }
      withdraw(state, rollingBack: !state.run.isAwaited)
      resolve(state.run)
      wake()
    }
  }

  /// Stops branches because the task that waits for them was cancelled.
  func interrupt(_ run: RunState, _ states: [BranchState]) {
    locked { () throws(Never) in
      for state in states where state.flight != nil { withdraw(state, rollingBack: false) }
      resolve(run)
      wake()
    }
  }

  func cancel(_ run: RunState) {
    locked { () throws(Never) in
      guard !run.isCancelled else { return }
      run.isCancelled = true
      halt(run, EngineError(.cancelled, "the run was cancelled"))
      wake()
    }
  }

  // MARK: With the lock held

  private func requireWorking(_ run: RunState) throws(EngineError) {
    guard !isStopping else { throw EngineError(.cancelled, "the engine was shut down") }
    if let failure = run.failure { throw failure }
  }

  private func launch(
    _ state: BranchState, _ advance: Advance, _ sampler: FlightSampler?, _ round: Int,
    events: Bool, onToken: (@Sendable (TokenEvent) -> Void)?
  ) {
    let run = state.run
    let end = state.text.bytes.count
    // A delimiter that ended the last advance is done with.
    let start = advance.continues && state.stop != .step ? state.lastStart ?? end : end
    if advance.query == nil { state.lastStart = start }
    state.flight = Flight(
      handle: state.handle, startRound: round, startCount: state.count, startText: start,
      maxTokens: advance.maxTokens, delimiters: advance.delimiters.map { Array($0.utf8) },
      entropyAbove: advance.entropyAbove, logprobBelow: advance.logprobBelow, sampler: sampler,
      query: advance.query, wantsEvent: events, onToken: onToken, streamed: state.text.completeEnd)
    run.flights.append(state)
    run.record(.submitted(path: state.path))
    state.nextToken = nil
    lookAgain(state)
    let reason: StopReason
    if state.stop.isFinal {
      reason = state.stop
    } else if advance.query != nil {
      state.stop = .none
      return
    } else if let limit = run.stops.maxTokens, state.count >= limit {
      reason = .length
    } else if state.lane.tokens.count >= run.contextLength || isTeamFull(of: state) {
      reason = .context
    } else if advance.maxTokens == 0 {
      reason = .tokens
    } else if let left = run.gate?.remainingTokens, left <= 0 {
      reason = .budget
    } else {
      state.stop = .none
      return
    }
    stop(state, reason)
  }

  /// Takes a branch out of its advance without an event. What it drew ahead of the clock is rolled
  /// back if asked; a stop at the clock or before it stands.
  func withdraw(_ state: BranchState, rollingBack: Bool) {
    guard let flight = state.flight else { return }
    let run = state.run
    let kept = rollingBack ? state.countAtClock : state.count
    let excess = state.count - kept
    if excess > 0 {
      let forced = state.constraintState?.forcedTokens(from: kept) ?? 0
      run.statistics.forcedTokens -= forced
      totals.forcedTokens -= forced
      cut(state, to: kept)
      // What was drawn may be guessed from now on; a test by rejection needs other numbers then.
      if run.drafting.verifier != .noise {
        state.epoch += 1
        state.rollbackEpochs += 1
      }
      run.statistics.generatedTokens -= excess
      run.statistics.rolledBackTokens += excess
      totals.sampledTokens -= excess
      totals.rolledBackTokens += excess
      run.refundTokens(excess)
    }
    if excess > 0 || !flight.hasStopped {
      stop(state, .cancelled)
    }
    land(state)
  }

  /// Ends all work of a run with an error for whoever waits, now or later.
  func halt(_ run: RunState, _ error: EngineError) {
    if run.failure == nil { run.failure = error }
    for state in run.flights { withdraw(state, rollingBack: false) }
    resolve(run)
  }

  private func land(_ state: BranchState) {
    state.flight = nil
    state.run.flights.removeAll { $0 === state }
    if state.run.flights.isEmpty { runs.removeAll { $0 === state.run } }
  }

  /// Delivers what can be delivered: events whose round every running branch has completed, and
  /// advances that have ended. Moves the clock.
  func resolve(_ run: RunState) {
    if let failure = run.failure {
      let (any, all) = (run.anyWaiters, run.allWaiters)
      run.anyWaiters = []
      run.allWaiters = []
      for waiter in any { answers.append { waiter.deliver(.failure(failure)) } }
      for waiter in all { answers.append { waiter.deliver(.failure(failure)) } }
      return
    }
    while deliverEvent(run) {}
    while deliverAdvance(run) {}
  }

  private func slowestRound(_ run: RunState) -> Int {
    run.flights.lazy.filter(\.isRunning).map(\.round).min() ?? .max
  }

  private func deliverEvent(_ run: RunState) -> Bool {
    guard let waiter = run.anyWaiters.first else { return false }
    // Flights are in order of path, and min takes the first of equals.
    let stopped = run.flights.lazy.filter { $0.flight!.wantsEvent && !$0.isRunning }
    if let next = stopped.min(by: { $0.round < $1.round }) {
      guard next.round <= slowestRound(run) else { return false }
      run.clock = max(run.clock, next.round)
      let event = StoppedBranch(next.flight?.handle, next.stop)
      land(next)
      run.anyWaiters.removeFirst()
      answers.append { waiter.deliver(.success(event)) }
      return true
    }
    guard !run.flights.contains(where: { $0.flight!.wantsEvent }) else { return false }
    run.anyWaiters.removeFirst()
    answers.append { waiter.deliver(.success(nil)) }
    return true
  }

  private func deliverAdvance(_ run: RunState) -> Bool {
    let slowest = slowestRound(run)
    let done = run.allWaiters.firstIndex { waiter in
      waiter.states.allSatisfy { $0.flight == nil || (!$0.isRunning && $0.round <= slowest) }
    }
    guard let done else { return false }
    let waiter = run.allWaiters.remove(at: done)
    for state in waiter.states where state.flight != nil {
      run.clock = max(run.clock, state.round)
      land(state)
    }
    answers.append { waiter.deliver(.success(())) }
    return true
  }
}
