import MartletModel

/// Drawing tokens and ending branches. With the lock held, on the driver thread (``stop(_:_:)``
/// on any).
extension EngineCore {
  /// Draws for every branch that has its logits and may go on. Whether anything happened.
  func settle() -> Bool {
    var progressed = false
    for run in runs where drawTokens(of: run) {
      progressed = true
      resolve(run)
    }
    return progressed
  }

  /// At most one token per branch. Without a token budget, a branch may be `overrun` tokens ahead
  /// of the slowest (or, while nobody waits, of the clock). With one, a round is drawn as a whole
  /// and in order of path while somebody waits, so that the last tokens go to the same branches
  /// whatever the timing.
  private func drawTokens(of run: RunState) -> Bool {
    let running = run.flights.filter(\.isRunning)
    guard let slowest = running.lazy.map(\.round).min() else { return false }
    var ready: [BranchState] = []
    var lagging = false
    for state in running {
      let waits =
        forcedStep(state) == nil
        && state.lanes.contains {
          pool.nextWork($0, needsLogits: true, pageTokens: backend.pageTokens) != nil
        }
      // They may just have adopted their bases' fresh rows, which one of them may have to keep until
      // the other has its own.
      freshLanes += state.lanes.filter { $0.freshRow != nil }
      if waits {
        lagging = lagging || state.round == slowest
      } else {
        ready.append(state)
      }
    }
    let limit: Int
    if run.isOrdered {
      guard !lagging else { return false }
      limit = run.isAwaited ? slowest : min(slowest, run.clock - 1)
    } else {
      let overrun = configuration.overrun
      limit = run.isAwaited ? slowest + overrun : run.clock + overrun - 1
    }
    var progressed = false
    for state in ready where state.round <= limit && run.failure == nil {
      progressed = true
      draw(state)
      // Forced text needs no pass between its tokens.
      while state.isRunning && state.round <= limit && run.failure == nil
        && forcedStep(state) != nil
      {
        draw(state)
      }
    }
    return progressed
  }

  private func draw(_ state: BranchState) {
    let run = state.run
    if let query = state.flight?.query {
      answer(query, state)
      return
    }
    let forced = forcedStep(state)
    if forced == .end {
      noteEnd(state)
      stop(state, .endOfSequence)
      return
    }
    if !run.reserveToken() {
      stop(state, .budget)
      return
    }
    if case .token(let token) = forced {
      takeForced(token, state)
      return
    }
    let lane = state.lane
    // What was guessed until now is text once a token follows it.
    pool.keepPages(lane, upTo: lane.tokens.count, pageTokens: backend.pageTokens)
    do throws(EngineError) {
      let drawn = try run.isReplay ? recordedDraw(state) : freshDraw(state)
      run.statistics.generatedTokens += 1
      totals.sampledTokens += 1
      if lane.isAhead {
        run.statistics.savedSteps += 1
        stakes.gained += worth(of: state)
      }
      take(drawn, state)
    } catch {
      run.refundTokens(1)
      halt(
        run,
        EngineError(
          error.code,
          "\(backend.name), branch \(state.path), token \(lane.tokens.count): \(error.message)"))
    }
  }

  private func freshDraw(_ state: BranchState) throws(EngineError) -> SampledToken {
    try withRow(state.lane.freshRow, state.lane.logits) { row throws(EngineError) in
      try withGuide(of: state) { guide throws(EngineError) in
        try chooseProcessed(row, guidedBy: guide, for: state)
      }
    }
  }

  /// Reads what a query asks of the next token's distribution, and ends the advance.
  private func answer(_ query: NextTokenQuery, _ state: BranchState) {
    let (run, lane) = (state.run, state.lane)
    // Nothing is drawn, but a deadline that has passed holds here too.
    if let gate = run.gate, !gate.reserve(0) {
      stop(state, .budget)
      return
    }
    pool.keepPages(lane, upTo: lane.tokens.count, pageTokens: backend.pageTokens)
    do throws(EngineError) {
      state.nextToken =
        try run.isReplay
        ? recordedAnswer(to: query, state)
        : withRow(lane.freshRow, lane.logits) { row throws(EngineError) in try query.answer(row) }
      note(state.nextToken, to: query, state)
      stop(state, .tokens)
    } catch {
      halt(run, EngineError(error.code, "\(backend.name), branch \(state.path): \(error.message)"))
    }
  }

  /// Reads a row of the pass that is being settled, or the copy of one.
  private func withRow<R>(
    _ fresh: Int?, _ kept: [Float]?, _ body: (Span<Float>) throws(EngineError) -> R
  ) throws(EngineError) -> R {
    guard let fresh else { return try body(kept!.span) }
    return try logits.withRow(fresh, body)
  }

  /// Reads the row that guides a branch's choice; nil where nothing does: also on a prompt that was
  /// opened beside the run's.
  private func withGuide<R>(
    of state: BranchState, _ body: (Span<Float>?) throws(EngineError) -> R
  ) throws(EngineError) -> R {
    guard let guidance = state.run.guidance, state.companion != nil || guidance.prompt == nil
    else { return try body(nil) }
    if let companion = state.companion {
      return try withRow(companion.freshRow, companion.logits) { row throws(EngineError) in
        try body(row)
      }
    }
    return try withRow(state.lane.guideRow, state.lane.guide) { row throws(EngineError) in
      try body(row)
    }
  }

  /// Adds a drawn token to its branch and finds out whether it stops.
  func take(_ drawn: SampledToken, _ state: BranchState, isForced: Bool = false) {
    let run = state.run
    let token = drawn.token
    note(drawn, isForced: isForced, state)
    constrain(state, taking: token, isForced: isForced)
    let ends =
      (run.stops.stopAtEndOfGeneration && endTokens.contains(token))
      || run.stops.stopTokens.contains(token)
    let textEnd = state.text.bytes.count
    remember(token, state)
    judgeProposal(token, state)
    state.append([token])
    follow(token, state)
    state.logprobs.append(drawn.logprob)
    state.entropies.append(drawn.entropy)
    state.surprise(drawn)
    state.text.append(ends ? [] : codec.bytes(of: token, renderSpecial: false))
    run.record(.token(path: state.path, token: token, logprob: drawn.logprob))

    let flight = state.flight!
    if ends {
      stop(state, .endOfSequence, drawn)
    } else if let match = state.text.firstMatch(of: run.stopPatterns, endingAfter: textEnd) {
      state.text.cut(at: match)
      stop(state, .stopString, drawn)
    } else if let limit = run.stops.maxTokens, state.count >= limit {
      stop(state, .length, drawn)
    } else if state.lane.tokens.count >= run.contextLength || isTeamFull(of: state) {
      stop(state, .context, drawn)
    } else if !flight.delimiters.isEmpty,
      state.text.firstMatch(of: flight.delimiters, endingAfter: textEnd, from: flight.startText)
        != nil
    {
      stop(state, .step, drawn)
    } else if let most = flight.entropyAbove, drawn.entropy > most {
      stop(state, .entropy, drawn)
    } else if let least = flight.logprobBelow, drawn.logprob < least {
      stop(state, .logprob, drawn)
    } else if let limit = flight.maxTokens, state.count - flight.startCount >= limit {
      stop(state, .tokens, drawn)
    } else {
      stream(drawn, of: state, stop: .none)
    }
  }

  /// Marks an advancing branch as stopped; its event is delivered in its turn.
  func stop(_ state: BranchState, _ reason: StopReason, _ drawn: SampledToken? = nil) {
    state.stop = reason
    state.flight?.hasStopped = true
    if state.lane.draft != nil { abandonDraft(of: state.lane) }
    state.run.record(.stopped(path: state.path, reason: reason, generated: state.count))
    stream(drawn, of: state, stop: reason)
  }

  private func stream(_ drawn: SampledToken?, of state: BranchState, stop: StopReason) {
    guard let flight = state.flight, let onToken = flight.onToken else { return }
    let text = state.text
    var end = text.completeEnd
    if stop == .none {
      let held = text.bytes.count - text.heldBack(by: state.run.stopPatterns)
      end = min(end, UTF8Boundary.complete(text.bytes, from: 0, to: held))
    }
    let event = TokenEvent(
      token: drawn?.token, text: text.string(flight.streamed, end), logprob: drawn?.logprob ?? 0,
      entropy: drawn?.entropy ?? 0, stop: stop)
    state.flight?.streamed = max(flight.streamed, end)
    // Given after the lock is released: the consumer's end may call the engine.
    answers.append { onToken(event) }
  }
}
