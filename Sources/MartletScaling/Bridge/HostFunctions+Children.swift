import CMartlet
import MartletEngine

// Host functions about runs inside the run, what was used, and what can be done.

let hostRunChild:
  @convention(c) (
    martlet_run?, UnsafePointer<martlet_child>?, UnsafeMutablePointer<martlet_child_result>?
  ) -> martlet_status = { run, child, result in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      guard let child else { throw HostFailure(MARTLET_E_ARGUMENT, "'child' is null") }
      let result = try place(result, "result")
      try checkSize(child.pointee.size, of: martlet_child.self, "child")
      try checkSize(result.pointee.size, of: martlet_child_result.self, "result")
      try run.checkRunning()
      var budget = Budget()
      if child.pointee.tokens > 0 { budget.tokens = Int(clamping: child.pointee.tokens) }
      if child.pointee.seconds != 0 { budget.seconds = child.pointee.seconds }
      let options = try text(
        child.pointee.options, child.pointee.options == nil ? 0 : child.pointee.options_length,
        "options")
      let nested = try ChildRun(
        of: run, strategy: try text(child.pointee.strategy, "strategy"),
        options: options.split(separator: "\0").map(String.init), budget: budget,
        from: try child.pointee.branch.map { handle throws(HostFailure) in
          try run.ownBranch(handle)
        })
      let ending = try nested.end()
      result.pointee.first_candidate = UInt32(ending.firstCandidate)
      result.pointee.candidate_count = UInt32(ending.candidateCount)
      result.pointee.answer = ending.answer.map { UInt32($0) } ?? .max
      result.pointee.tokens = UInt64(ending.tokens)
      result.pointee.branch = nil
      if let branch = ending.branch {
        result.pointee.branch = Handle.pointer(try run.handle(of: branch))
      }
    }
  }

let hostUsage:
  @convention(c) (martlet_run?, UnsafeMutablePointer<martlet_usage>?) -> martlet_status = {
    run, usage in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      let usage = try place(usage, "usage")
      try checkSize(usage.pointee.size, of: martlet_usage.self, "usage")
      let (statistics, used) = (run.engineRun.statistics, run.ledger.used)
      usage.pointee.prompt_tokens = UInt64(statistics.promptTokens)
      usage.pointee.generated_tokens = UInt64(statistics.generatedTokens)
      usage.pointee.scored_tokens = UInt64(used.scored)
      usage.pointee.kv_bytes = UInt64(
        statistics.kvPages * run.engineRun.engine.backend.bytesPerPage)
      usage.pointee.peak_kv_bytes = UInt64(statistics.peakKVBytes)
      usage.pointee.flops = used.flops
    }
  }

let hostCapability:
  @convention(c) (martlet_run?, UnsafePointer<CChar>?, UnsafeMutablePointer<Double>?)
    -> martlet_status = { run, name, value in
      branchCall(run, onRunThread: false) { run throws(HostFailure) in
        let value = try place(value, "value")
        let name = try text(name, "name")
        let model = run.surroundings.model
        let backend = run.engineRun.engine.backend
        switch name {
        case "chat": value.pointee = model.chat == nil ? 0 : 1
        case "context": value.pointee = Double(backend.contextLength)
        case "vocabulary": value.pointee = Double(backend.vocabularySize)
        case "parameters": value.pointee = Double(model.parameters)
        case "models": value.pointee = model.open == nil ? 0 : 1
        case "scorer": value.pointee = run.judge.hasScorer ? 1 : 0
        case "extractor": value.pointee = run.judge.hasExtractor ? 1 : 0
        case "memory": value.pointee = run.surroundings.memory == nil ? 0 : 1
        case "hidden_size": value.pointee = Double(backend.hiddenWidth ?? 0)
        case "seeded": value.pointee = 1
        default:
          throw HostFailure(MARTLET_E_NOT_FOUND, "this host knows no capability '\(name)'")
        }
      }
    }
