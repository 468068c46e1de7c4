import CMartlet
import MartletEngine

// Host functions that generate, judge and answer.

let hostAdvance:
  @convention(c) (
    martlet_run?, UnsafePointer<martlet_branch?>?, UInt32, UnsafePointer<martlet_advance>?
  ) -> martlet_status = { run, branches, count, how in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      try run.checkRunning()
      let branches = try run.branches(branches, count)
      let advance = try Advance(how)
      try run.translatingEnd { () throws(EngineError) in
        try run.engineRun.advanceBlocking(branches, advance)
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
      let advance = try Advance(how)
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
      let known = UInt32(MemoryLayout<martlet_event>.size)
      guard event.pointee.size >= known else {
        throw HostFailure(
          MARTLET_E_ARGUMENT,
          "'event' has size \(event.pointee.size); set it to \(known) before the call")
      }
      try run.checkRunning()
      let next = try run.translatingEnd { () throws(EngineError) in try run.engineRun.waitAny() }
      guard let next else {
        throw HostFailure(MARTLET_E_STATE, "no submitted branch is left to wait for")
      }
      if next.stop == .budget { _ = run.spentBudget() }
      event.pointee.stop = martlet_stop(rawValue: next.stop.rawValue)
      event.pointee.branch = Handle.pointer(try run.handle(of: next.branch))
    }
  }

let hostCancel: @convention(c) (martlet_run?, martlet_branch?) -> martlet_status = { run, branch in
  strategyCall(run, onRunThread: true) { run throws(HostFailure) in try run.branch(branch).cancel()
  }
}

let hostScore:
  @convention(c) (
    martlet_run?, UnsafePointer<martlet_branch?>?, UInt32, UnsafeMutablePointer<Double>?
  ) -> martlet_status = { run, branches, count, scores in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      let scores = try place(scores, "scores")
      for (index, branch) in try run.branches(branches, count).enumerated() {
        scores[index] = try run.judge.score(run.judged(branch), run: run)
      }
    }
  }

let hostExtract:
  @convention(c) (
    martlet_run?, martlet_branch?, UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, branch, buffer, capacity, needed in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      let branch = try run.branch(branch)
      guard run.judge.hasExtractor else {
        throw HostFailure(MARTLET_E_NOT_FOUND, "the run has no extractor")
      }
      guard let answer = try run.judge.extract(run.judged(branch), run: run) else {
        try place(needed, "needed").pointee = 0
        throw HostFailure(MARTLET_E_NOT_FOUND, "the text holds no answer")
      }
      try deliver(answer, buffer, capacity, needed)
    }
  }

let hostCandidate:
  @convention(c) (martlet_run?, martlet_branch?, UnsafeMutablePointer<UInt32>?)
    -> martlet_status = { run, branch, index in
      strategyCall(run, onRunThread: true) { run throws(HostFailure) in
        let index = try place(index, "index")
        index.pointee = UInt32(try run.addCandidate(try run.branch(branch)))
      }
    }

let hostCandidateScore: @convention(c) (martlet_run?, UInt32, Double) -> martlet_status = {
  run, candidate, score in
  strategyCall(run, onRunThread: true) { run throws(HostFailure) in
    try run.setScore(score, of: candidate)
  }
}

let hostAnswer: @convention(c) (martlet_run?, UInt32) -> martlet_status = { run, candidate in
  strategyCall(run, onRunThread: true) { run throws(HostFailure) in try run.setAnswer(candidate) }
}

extension Advance {
  /// Reads the C form.
  fileprivate init(_ how: UnsafePointer<martlet_advance>?) throws(HostFailure) {
    guard let how else { throw HostFailure(MARTLET_E_ARGUMENT, "'how' is null") }
    let known = UInt32(MemoryLayout<martlet_advance>.size)
    guard how.pointee.size >= known else {
      throw HostFailure(
        MARTLET_E_ARGUMENT,
        "'how' has size \(how.pointee.size); set it to \(known) before the call")
    }
    let delimiter = try text(
      how.pointee.delimiter, how.pointee.delimiter == nil ? 0 : Int(how.pointee.delimiter_length),
      "delimiter")
    let maxTokens = how.pointee.max_tokens
    self.init(
      maxTokens: maxTokens == 0 ? nil : Int(maxTokens),
      delimiter: delimiter.isEmpty ? nil : delimiter)
  }
}

extension PluginRun {
  /// Does engine work that a cancellation or the deadline may interrupt.
  fileprivate func translatingEnd<Result>(
    _ body: () throws(EngineError) -> Result
  ) throws(HostFailure) -> Result {
    do throws(EngineError) {
      return try body()
    } catch {
      // The deadline cancels the engine's run; say which it was.
      if error.code == .cancelled { try checkRunning() }
      noteEngine(error)
      throw HostFailure(error)
    }
  }
}
