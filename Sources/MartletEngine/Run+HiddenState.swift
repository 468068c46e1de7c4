import MartletKernels

extension Run {
  /// Bytes that hidden states may take beside keys and values, where they are first asked for by a probe.
  private static let stateBytesLimit = 256 << 20

  /// The model's hidden state after a branch's last token, behind the final norm: what the logits of the
  /// next token are computed from. Draws nothing; the branch stays as it is. Its last token is processed
  /// again, since a state is kept only from the first call on.
  ///
  /// Throws ``EngineError/Code/backend`` for a model without hidden states, ``EngineError/Code/memory``
  /// where there is no room for them, and as ``nextTokensBlocking(_:_:)``. Blocks the calling thread.
  /// - Returns: ``Backend/hiddenWidth`` elements.
  public func hiddenStateBlocking(_ branch: Branch) throws(EngineError) -> [Float] {
    let (core, backend) = (core, core.backend)
    guard let width = backend.hiddenWidth else {
      throw EngineError(.backend, "\(backend.name) has no hidden states to give")
    }
    try engine.keepHiddenStates(byteLimit: Self.stateBytesLimit)
    // A branch that still shares the pages of another gets its own table by being asked.
    if try !core.forgetLast(branch.state) {
      _ = try nextTokensBlocking([branch], NextTokenQuery(top: 0))
      _ = try core.forgetLast(branch.state)
    }
    _ = try nextTokensBlocking([branch], NextTokenQuery(top: 0))
    let place = try core.lastPlace(of: branch.state)
    let row = core.onDriver { () -> Result<[Float]?, EngineError> in
      do throws(KernelError) {
        let target = try FloatMatrix(rows: 1, columns: width)
        let isKept = backend.copyHiddenState(
          page: place.page, slot: place.slot, into: target, row: 0)
        return .success(isKept ? target.row(0) : nil)
      } catch {
        return .failure(EngineError(.memory, "no room for a hidden state: \(error)"))
      }
    }
    guard let row else { throw EngineError(.cancelled, "the engine was shut down") }
    guard let state = try row.get() else {
      throw EngineError(
        .memory,
        "hidden states take all of the \(Self.stateBytesLimit) bytes that are set aside for them; "
          + "release branches")
    }
    return state
  }
}

extension EngineCore {
  /// Has the last token of a branch processed again before its logits are read. False, and nothing done,
  /// while the branch has no page table of its own.
  fileprivate func forgetLast(_ state: BranchState) throws(EngineError) -> Bool {
    try locked { () throws(EngineError) in
      try requireIdle(state, "asked for its hidden state")
      let lane = state.lane
      guard lane.base == nil else { return false }
      lane.dropLogits()
      lane.revision += 1
      let last = lane.tokens.count - 1
      if lane.processed > last { pool.setProcessed(lane, last, pageTokens: backend.pageTokens) }
      return true
    }
  }

  /// Where the last token of a branch is stored.
  fileprivate func lastPlace(of state: BranchState) throws(EngineError) -> (page: PageID, slot: Int)
  {
    try locked { () throws(EngineError) in
      try requireIdle(state, "asked for its hidden state")
      let (lane, size) = (state.lane, backend.pageTokens)
      let last = lane.tokens.count - 1
      guard lane.base == nil, lane.processed > last, lane.pages.indices.contains(last / size) else {
        throw EngineError(.state, "branch \(state.path) went on while its hidden state was read")
      }
      return (lane.pages[last / size], last % size)
    }
  }
}
