import CMartlet
import MartletEngine

/// The host's functions, as every plugin of this process sees them. Never freed.
///
/// Each function is a C closure that finds the component behind the run handle, checks thread and
/// state, does its work with checked values, and turns a failure into a status and a message. None
/// of them traps, whatever a plugin passes: pointers that may be null are tested, handles are looked
/// up. A pointer to too little memory cannot be told from a good one.
nonisolated(unsafe) let hostTable: UnsafePointer<martlet_host> = {
  // nonisolated(unsafe): written here once, read-only afterwards.
  let table = UnsafeMutablePointer<martlet_host>.allocate(capacity: 1)
  table.initialize(
    to: martlet_host(
      size: UInt32(MemoryLayout<martlet_host>.size),
      abi_minor: UInt32(MARTLET_PLUGIN_ABI_MINOR),
      extension: hostExtension, last_error: hostLastError, log: hostLog, explain: hostExplain,
      option_text: hostOptionText, option_integer: hostOptionInteger,
      option_number: hostOptionNumber, budget_left: hostBudgetLeft, random: hostRandom,
      trace: hostTrace,
      root: hostRoot, fork: hostFork, fork_cost: hostForkCost, resample: hostResample,
      truncate: hostTruncate, append_text: hostAppendText, release: hostRelease,
      state: hostState, text: hostText, tokens: hostTokens, logprobs: hostLogprobs,
      advance: hostAdvance, submit: hostSubmit, wait_any: hostWaitAny, cancel: hostCancel,
      score: hostScore, extract: hostExtract,
      candidate: hostCandidate, candidate_score: hostCandidateScore, answer: hostAnswer,
      width_cost: hostWidthCost, knee_width: hostKneeWidth,
      prompt: hostPrompt, open: hostOpen, append_tokens: hostAppendTokens, tokenize: hostTokenize,
      detokenize: hostDetokenize,
      reopen: hostReopen, demote: hostDemote, path: hostPath, entropies: hostEntropies,
      next_token: hostNextToken,
      score_by: hostScoreBy, extract_text: hostExtractText, model: hostModel, open_on: hostOpenOn,
      candidate_text: hostCandidateText, candidate_answer: hostCandidateAnswer,
      commit: hostCommit, abstain: hostAbstain,
      run_child: hostRunChild, usage: hostUsage, capability: hostCapability,
      remember: hostRemember, recall: hostRecall, note: hostNote, hidden_state: hostHiddenState))
  return UnsafePointer(table)
}()

/// Runs a host function that any component may call.
func componentCall(
  _ run: martlet_run?, _ body: (ComponentScope) throws(HostFailure) -> Void
) -> martlet_status {
  do throws(HostFailure) {
    guard let scope = ScopeTable[run] else {
      throw HostFailure(
        MARTLET_E_HANDLE, run == nil ? "the run is null" : "the run is over, or never existed")
    }
    try scope.run?.checkOpen()
    try body(scope)
    return MARTLET_OK
  } catch {
    LastError.text = error.message
    ContractWatch.note(error)
    if error.status == MARTLET_E_HANDLE || error.isWrongThread { Misuse.note(error.message) }
    return error.status
  }
}

/// Runs a host function that belongs to strategies.
func strategyCall(
  _ run: martlet_run?, onRunThread: Bool, _ body: (PluginRun) throws(HostFailure) -> Void
) -> martlet_status {
  componentCall(run) { scope throws(HostFailure) in
    guard scope.kind == .strategy, let run = scope.run else {
      throw HostFailure(MARTLET_E_STATE, "this function belongs to strategies")
    }
    if onRunThread { try run.checkThread() }
    try body(run)
  }
}

/// Runs a host function about branches: for strategies, and for scorers of branches while they score.
func branchCall(
  _ run: martlet_run?, onRunThread: Bool, _ body: (PluginRun) throws(HostFailure) -> Void
) -> martlet_status {
  componentCall(run) { scope throws(HostFailure) in
    guard let run = scope.run, scope.kind == .strategy || run.isScorers else {
      throw HostFailure(
        MARTLET_E_STATE, "this function belongs to strategies and to scorers of branches")
    }
    if onRunThread { try run.checkThread() }
    try body(run)
  }
}

/// Does engine work and translates its error.
func engineCall<Result>(
  _ body: () throws(EngineError) -> Result
) throws(HostFailure) -> Result {
  do throws(EngineError) {
    return try body()
  } catch {
    throw HostFailure(error)
  }
}

/// Copies an array out by the (buffer, capacity, needed) rule of the interface.
func deliver<Element>(
  _ elements: [Element], _ buffer: UnsafeMutablePointer<Element>?, _ capacity: Int,
  _ needed: UnsafeMutablePointer<Int>?
) throws(HostFailure) {
  guard let needed else { throw HostFailure(MARTLET_E_ARGUMENT, "'needed' is null") }
  needed.pointee = elements.count
  if elements.count > capacity {
    throw HostFailure(
      MARTLET_E_TOO_SMALL, "\(elements.count) elements do not fit a capacity of \(capacity)")
  }
  if elements.isEmpty { return }
  guard let buffer else { throw HostFailure(MARTLET_E_ARGUMENT, "'buffer' is null") }
  elements.withUnsafeBufferPointer { buffer.update(from: $0.baseAddress!, count: $0.count) }
}

/// Copies text out by the same rule.
func deliver(
  _ text: String, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int,
  _ needed: UnsafeMutablePointer<Int>?
) throws(HostFailure) {
  try deliver(text.utf8.map { CChar(bitPattern: $0) }, buffer, capacity, needed)
}

/// The place for a result; null is the caller's fault.
func place<Value>(
  _ pointer: UnsafeMutablePointer<Value>?, _ name: StaticString
) throws(HostFailure) -> UnsafeMutablePointer<Value> {
  guard let pointer else { throw HostFailure(MARTLET_E_ARGUMENT, "'\(name)' is null") }
  return pointer
}

/// Text with a length from C; null with length 0 is empty.
func text(
  _ start: UnsafePointer<CChar>?, _ count: Int, _ name: StaticString
) throws(HostFailure) -> String {
  guard let start else {
    if count == 0 { return "" }
    throw HostFailure(MARTLET_E_ARGUMENT, "'\(name)' is null with length \(count)")
  }
  guard count >= 0, count <= 1 << 30 else {
    throw HostFailure(MARTLET_E_ARGUMENT, "'\(name)' has the impossible length \(count)")
  }
  return String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
}

/// NUL-terminated text from C.
func text(_ start: UnsafePointer<CChar>?, _ name: StaticString) throws(HostFailure) -> String {
  guard let start else { throw HostFailure(MARTLET_E_ARGUMENT, "'\(name)' is null") }
  return String(cString: start)
}

/// An array with a length from C; null with length 0 is empty.
func array<Element>(
  _ start: UnsafePointer<Element>?, _ count: Int, _ name: StaticString
) throws(HostFailure) -> [Element] {
  guard let start else {
    if count == 0 { return [] }
    throw HostFailure(MARTLET_E_ARGUMENT, "'\(name)' is null with length \(count)")
  }
  guard count >= 0, count <= 1 << 28 else {
    throw HostFailure(MARTLET_E_ARGUMENT, "'\(name)' has the impossible length \(count)")
  }
  return Array(UnsafeBufferPointer(start: start, count: count))
}
