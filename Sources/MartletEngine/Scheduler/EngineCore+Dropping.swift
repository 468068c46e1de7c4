import MartletModel

/// Dropping spans of branches.
extension EngineCore {
  func drop(
    _ state: BranchState, _ span: Range<Int>, _ following: Branch.FollowingText
  ) throws(EngineError) -> Branch.DroppedSpan {
    // Pages are handed out and written between passes only.
    let outcome = onDriver { [self] in
      Result { () throws(EngineError) in
        try locked { () throws(EngineError) in try dropLocked(state, span, following) }
      }
    }
    guard let outcome else { throw EngineError(.cancelled, "the engine was shut down") }
    return try outcome.get()
  }

  /// On the driver thread, with the lock held.
  private func dropLocked(
    _ state: BranchState, _ span: Range<Int>, _ following: Branch.FollowingText
  ) throws(EngineError) -> Branch.DroppedSpan {
    try check(state, span, following)
    let positions = { (lane: Lane) in
      lane.promptCount + span.lowerBound..<lane.promptCount + span.upperBound
    }
    let tokens = Array(state.lane.tokens[positions(state.lane)])
    switch following {
    case .processedAgain:
      for lane in state.lanes {
        pool.cutOut(lane, positions(lane), pageTokens: backend.pageTokens)
      }
    case .kept:
      for lane in state.lanes { pool.detach(lane, pageTokens: backend.pageTokens) }
      try checkProcessed(state)
      try shift(state.lanes.map { ($0, positions($0)) }, of: state)
    }
    state.run.record(.dropped(path: state.path, first: span.lowerBound, tokens: span.count))
    let dropped = Branch.DroppedSpan(
      tokens: tokens, logprobs: Array(state.logprobs[span]),
      text: state.text.string(
        state.text.byteCount(ofTokens: span.lowerBound),
        state.text.byteCount(ofTokens: span.upperBound)))
    state.dropRecords(span)
    return dropped
  }

  private func check(
    _ state: BranchState, _ span: Range<Int>, _ following: Branch.FollowingText
  ) throws(EngineError) {
    try requireIdle(state, "cut into")
    try requireAlone(state, "cut into")
    guard !span.isEmpty, span.lowerBound >= 0, span.upperBound <= state.count else {
      throw EngineError(
        .argument,
        "cannot drop tokens \(span.lowerBound) ..< \(span.upperBound) of branch \(state.path): it has "
          + "\(state.count)")
    }
    guard !state.stop.isFinal else {
      throw EngineError(
        .state,
        "branch \(state.path) is finished (\(state.stop)); drop a span before, or of a reopened child"
      )
    }
    guard state.constraintState == nil else {
      throw EngineError(
        .state,
        "the text of branch \(state.path) has to meet a constraint, which a dropped span would break"
      )
    }
    guard following == .processedAgain || backend.supportsShifts else {
      throw EngineError(
        .backend,
        "\(backend.name) cannot shift keys and values to other positions; have the text processed again"
      )
    }
  }

  private func checkProcessed(_ state: BranchState) throws(EngineError) {
    for lane in state.lanes where lane.base != nil || lane.processed < lane.tokens.count - 1 {
      let left = lane.tokens.count - 1 - (lane.base == nil ? lane.processed : 0)
      throw EngineError(
        .state,
        "branch \(state.path) has \(left) tokens that are still to be processed; advance it before a "
          + "span is dropped, or have the text processed again")
    }
  }

  /// As when a pass wants pages: guesses and what is being written give way.
  private func prepareShift(
    _ lane: Lane, dropping span: Range<Int>
  ) throws(PageShortage) -> [Int: PageID] {
    do throws(PageShortage) {
      return try pool.prepareShift(lane, dropping: span, pageTokens: backend.pageTokens)
    } catch {
      guard abandonWaitingDrafts() || abandonWriting() else { throw error }
      return try pool.prepareShift(lane, dropping: span, pageTokens: backend.pageTokens)
    }
  }

  private func shift(
    _ lanes: [(lane: Lane, span: Range<Int>)], of state: BranchState
  ) throws(EngineError) {
    var fresh: [[Int: PageID]] = []
    do throws(PageShortage) {
      for (lane, span) in lanes {
        fresh.append(try prepareShift(lane, dropping: span))
      }
    } catch {
      for (pages, entry) in zip(fresh, lanes) { pool.cancelShift(pages, for: entry.lane.tree) }
      switch error {
      case .refused(let refusal): throw refusal
      case .ceiling:
        throw EngineError(
          .budget,
          "no page is left to copy what branch \(state.path) shares with others; release some of them "
            + "or raise the limit")
      }
    }
    for ((lane, span), pages) in zip(lanes, fresh) {
      pool.shift(lane, dropping: span, into: pages, backend: backend)
    }
  }
}

extension BranchState {
  /// Takes the records of some tokens out, all but those of the lanes.
  fileprivate func dropRecords(_ span: Range<Int>) {
    logprobs.removeSubrange(span)
    entropies.removeSubrange(span)
    if !mirostatStates.isEmpty { mirostatStates.removeSubrange(span) }
    text.remove(tokens: span)
    proposal = nil
    nextToken = nil
    lastStart = nil
    epoch += 1
    stop = .none
  }
}
