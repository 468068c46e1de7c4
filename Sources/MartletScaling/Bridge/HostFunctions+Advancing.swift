import CMartlet
import MartletEngine

// Host functions that generate.

let hostAdvance:
  @convention(c) (
    martlet_run?, UnsafePointer<martlet_branch?>?, UInt32, UnsafePointer<martlet_advance>?
  ) -> martlet_status = { run, handles, count, how in
    branchCall(run, onRunThread: true) { run throws(HostFailure) in
      try run.checkRunning()
      let (owner, branches) = try run.group(handles, count)
      let advance = try Advance(how, base: run.engineRun.sampling)
      if let until = try Until(how) {
        try run.advance(branches, of: owner, advance, until: until, handles!)
      } else {
        try run.translatingEnd { () throws(EngineError) in
          try owner.advanceBlocking(branches, advance)
        }
      }
      if branches.contains(where: { $0.stop == .budget }) { throw run.spentBudget() }
      if branches.contains(where: { $0.stop == .cancelled }) {
        throw HostFailure(MARTLET_E_CANCELLED, "the run was cancelled")
      }
    }
  }

let hostSubmit:
  @convention(c) (
    martlet_run?, UnsafePointer<martlet_branch?>?, UInt32, UnsafePointer<martlet_advance>?
  ) -> martlet_status = { run, branches, count, how in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      try run.checkRunning()
      let branches = try run.branches(branches, count)
      let advance = try Advance(how, base: run.engineRun.sampling)
      if try Until(how) != nil {
        throw HostFailure(MARTLET_E_ARGUMENT, "'until' works with advance, not with submit")
      }
      try run.translatingEnd { () throws(EngineError) in
        try run.engineRun.submit(branches, advance)
      }
    }
  }

let hostWaitAny:
  @convention(c) (martlet_run?, UnsafeMutablePointer<martlet_event>?) -> martlet_status = {
    run, event in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      let event = try place(event, "event")
      try checkSize(event.pointee.size, of: martlet_event.self, "event")
      try run.checkRunning()
      let next = try run.translatingEnd { () throws(EngineError) in try run.engineRun.waitAny() }
      guard let next else { throw .nothingSubmitted }
      if next.stop == .budget { _ = run.spentBudget() }
      event.pointee.stop = martlet_stop(rawValue: next.stop.rawValue)
      event.pointee.branch = Handle.pointer(try run.handle(of: next.branch))
    }
  }

let hostCancel: @convention(c) (martlet_run?, martlet_branch?) -> martlet_status = { run, branch in
  strategyCall(run, onRunThread: true) { run throws(HostFailure) in try run.branch(branch).cancel()
  }
}

let hostNextToken:
  @convention(c) (
    martlet_run?, UnsafePointer<martlet_branch?>?, UInt32, UnsafePointer<martlet_next_token>?
  ) -> martlet_status = { run, handles, count, query in
    branchCall(run, onRunThread: true) { run throws(HostFailure) in
      guard let query else { throw HostFailure(MARTLET_E_ARGUMENT, "'query' is null") }
      try checkSize(query.pointee.size, of: martlet_next_token.self, "query")
      try run.checkRunning()
      let (owner, branches) = try run.group(handles, count)
      let (top, tokens) = (
        Int(query.pointee.top),
        try array(query.pointee.tokens, query.pointee.token_count, "tokens")
      )
      let choices = top == 0 ? nil : try place(query.pointee.choices, "choices")
      let logprobs = tokens.isEmpty ? nil : try place(query.pointee.logprobs, "logprobs")
      let answers = try run.translatingEnd { () throws(EngineError) in
        try owner.nextTokensBlocking(branches, NextTokenQuery(top: top, tokens: tokens))
      }
      for (index, answer) in answers.enumerated() {
        for place in 0..<top {
          let choice = place < answer.top.count ? answer.top[place] : nil
          choices![index * top + place] = martlet_choice(
            token: choice?.token ?? -1, logprob: choice?.logprob ?? -.infinity)
        }
        for (place, logprob) in answer.logprobs.enumerated() {
          logprobs![index * tokens.count + place] = logprob
        }
        query.pointee.entropies?[index] = Double(answer.entropy)
      }
    }
  }

let hostHiddenState:
  @convention(c) (
    martlet_run?, martlet_branch?, UnsafeMutablePointer<Float>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, branch, buffer, capacity, needed in
    branchCall(run, onRunThread: true) { run throws(HostFailure) in
      let needed = try place(needed, "needed")
      let held = try run.held(branch)
      guard let width = held.run.engine.backend.hiddenWidth else {
        throw HostFailure(MARTLET_E_UNSUPPORTED, "the model has no hidden states to give")
      }
      needed.pointee = width
      // Asking for the size alone runs no model.
      if capacity < width {
        try deliver([Float](repeating: 0, count: width), nil, capacity, needed)
      }
      try run.checkRunning()
      let state = try run.translatingEnd { () throws(EngineError) in
        try held.run.hiddenStateBlocking(held.branch)
      }
      run.trace?.recording.noteHiddenState()
      try deliver(state, buffer, capacity, needed)
    }
  }

/// Checks the size that a caller states of a struct of this version.
func checkSize<Struct>(
  _ size: UInt32, of type: Struct.Type, _ name: StaticString
) throws(HostFailure) {
  let known = MemoryLayout<Struct>.size
  guard size >= known else {
    throw HostFailure(
      MARTLET_E_ARGUMENT, "'\(name)' has size \(size); set it to \(known) before the call")
  }
}

/// The callback of an advance.
private struct Until {
  let ask: @convention(c) (UnsafeMutableRawPointer?, martlet_branch?) -> Int32
  let context: UnsafeMutableRawPointer?

  init?(_ how: UnsafePointer<martlet_advance>?) throws(HostFailure) {
    guard let how, how.pointee.size >= UInt32(MemoryLayout<martlet_advance>.size),
      let ask = how.pointee.until
    else { return nil }
    self.ask = ask
    context = how.pointee.until_context
  }
}

extension Advance {
  /// Reads the C form.
  /// - Parameter base: the run's rules, which rules with a leading + are added to.
  fileprivate init(
    _ how: UnsafePointer<martlet_advance>?, base: SamplingOptions
  ) throws(HostFailure) {
    guard let how else { throw HostFailure(MARTLET_E_ARGUMENT, "'how' is null") }
    try checkSize(how.pointee.size, of: martlet_advance.self, "how")
    let maxTokens = how.pointee.max_tokens
    self.init(maxTokens: maxTokens == 0 ? nil : Int(maxTokens))
    let known = UInt32(MARTLET_ADVANCE_CONTINUES)
    guard how.pointee.flags & ~known == 0 else {
      throw HostFailure(
        MARTLET_E_ARGUMENT,
        "'how' has flags \(how.pointee.flags), of which this host knows \(known)")
    }
    continues = how.pointee.flags & known != 0
    let more = try text(
      how.pointee.delimiters, how.pointee.delimiters == nil ? 0 : how.pointee.delimiters_length,
      "delimiters")
    delimiters += more.split(separator: "\0").map(String.init)
    if how.pointee.entropy_above != 0 { entropyAbove = Float(how.pointee.entropy_above) }
    if how.pointee.logprob_below != 0 { logprobBelow = Float(how.pointee.logprob_below) }
    let rules = try text(
      how.pointee.sampling, how.pointee.sampling == nil ? 0 : how.pointee.sampling_length,
      "sampling")
    if !rules.isEmpty {
      sampling = try engineCall { () throws(EngineError) in
        rules.hasPrefix("+")
          ? try base.adding(String(rules.dropFirst())) : try SamplingOptions.parse(rules)
      }
    }
  }
}

extension PluginRun {
  /// Advances token by token and asks after each which branches go on.
  fileprivate func advance(
    _ branches: [Branch], of owner: Run, _ advance: Advance, until: Until,
    _ handles: UnsafePointer<martlet_branch?>
  ) throws(HostFailure) {
    var open = Array(branches.indices)
    var tokens = 0
    while !open.isEmpty {
      var step = advance
      step.maxTokens = 1
      // These are one advance: a delimiter may come in two of its tokens.
      if tokens > 0 { step.continues = true }
      try translatingEnd { () throws(EngineError) in
        try owner.advanceBlocking(open.map { branches[$0] }, step)
      }
      tokens += 1
      // Another stop than the count of one is the branch's own.
      open.removeAll { branches[$0].stop != .tokens }
      open.removeAll { index in
        guard asking({ until.ask(until.context, handles[index]) }) != 0 else { return false }
        branches[index].mark(.callback)
        return true
      }
      if let most = advance.maxTokens, tokens >= most { return }
    }
  }

  /// Does engine work that a cancellation or the deadline may interrupt.
  func translatingEnd<Result>(
    _ body: () throws(EngineError) -> Result
  ) throws(HostFailure) -> Result {
    do throws(EngineError) {
      return try body()
    } catch {
      // The deadline cancels the engine's run; say which it was.
      if error.code == .cancelled { try checkRunning() }
      if error.code == .budget { throw spentBudget() }
      noteEngine(error)
      throw HostFailure(error)
    }
  }
}
