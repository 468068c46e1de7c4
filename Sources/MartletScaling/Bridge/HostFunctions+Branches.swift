import CMartlet
import MartletEngine

// Host functions that make, change and read branches.

/// More branches than this in one call is a plugin's mistake, not a plan.
private let mostBranches: UInt32 = 1 << 16

let hostRoot:
  @convention(c) (martlet_run?, UnsafeMutablePointer<martlet_branch?>?) -> martlet_status = {
    run, branch in
    branchCall(run, onRunThread: true) { run throws(HostFailure) in
      try place(branch, "branch").pointee = Handle.pointer(try run.rootHandle())
    }
  }

let hostFork:
  @convention(c) (martlet_run?, martlet_branch?, UInt32, UnsafeMutablePointer<martlet_branch?>?)
    -> martlet_status = { run, branch, count, children in
      branchCall(run, onRunThread: true) { run throws(HostFailure) in
        let children = try place(children, "children")
        let parent = try run.held(branch)
        guard (1...mostBranches).contains(count) else {
          throw HostFailure(
            MARTLET_E_ARGUMENT, "a fork makes 1 to \(mostBranches) children, not \(count)")
        }
        let forks = try engineCall { () throws(EngineError) in try parent.branch.fork(Int(count)) }
        for (index, fork) in forks.enumerated() {
          children[index] = Handle.pointer(try run.handle(of: fork, in: parent.run))
        }
      }
    }

let hostForkCost:
  @convention(c) (martlet_run?, martlet_branch?, UInt32, UnsafeMutablePointer<UInt64>?)
    -> martlet_status = { run, branch, count, bytes in
      branchCall(run, onRunThread: true) { run throws(HostFailure) in
        let bytes = try place(bytes, "bytes")
        let branch = try run.branch(branch)
        guard count <= mostBranches else {
          throw HostFailure(
            MARTLET_E_ARGUMENT, "a fork makes at most \(mostBranches) children, not \(count)")
        }
        bytes.pointee = UInt64(max(0, branch.forkCost(Int(count))))
      }
    }

let hostResample:
  @convention(c) (
    martlet_run?, UnsafePointer<martlet_branch?>?, UInt32, UnsafePointer<UInt32>?,
    UnsafeMutablePointer<martlet_branch?>?
  ) -> martlet_status = { run, population, count, ancestors, result in
    branchCall(run, onRunThread: true) { run throws(HostFailure) in
      let result = try place(result, "result")
      guard let ancestors, let population else {
        throw HostFailure(MARTLET_E_ARGUMENT, "'population' or 'ancestors' is null")
      }
      let (owner, branches) = try run.group(population, count)
      let indices = (0..<Int(count)).map { Int(ancestors[$0]) }
      let handles = (0..<Int(count)).map { population[$0] }
      let resampled = try engineCall { () throws(EngineError) in
        try owner.resample(branches, ancestors: indices)
      }
      ContractWatch.noteResampling(handles, indices)
      for handle in handles { run.forget(handle) }
      for (index, branch) in resampled.enumerated() {
        result[index] = Handle.pointer(try run.handle(of: branch, in: owner))
      }
    }
  }

let hostTruncate: @convention(c) (martlet_run?, martlet_branch?, UInt32) -> martlet_status = {
  run, branch, generated in
  branchCall(run, onRunThread: true) { run throws(HostFailure) in
    let branch = try run.branch(branch)
    try engineCall { () throws(EngineError) in try branch.truncate(toGenerated: Int(generated)) }
  }
}

let hostAppendText:
  @convention(c) (martlet_run?, martlet_branch?, UnsafePointer<CChar>?, Int) -> martlet_status = {
    run, branch, start, count in
    branchCall(run, onRunThread: true) { run throws(HostFailure) in
      try run.checkRunning()
      let branch = try run.branch(branch)
      let text = try text(start, count, "text")
      try run.appending { () throws(EngineError) in try branch.append(text: text) }
    }
  }

let hostAppendTokens:
  @convention(c) (martlet_run?, martlet_branch?, UnsafePointer<Int32>?, Int) -> martlet_status = {
    run, branch, tokens, count in
    branchCall(run, onRunThread: true) { run throws(HostFailure) in
      try run.checkRunning()
      let branch = try run.branch(branch)
      let tokens = try array(tokens, count, "tokens")
      try run.appending { () throws(EngineError) in try branch.append(tokens: tokens) }
    }
  }

let hostReopen:
  @convention(c) (martlet_run?, martlet_branch?, UnsafeMutablePointer<martlet_branch?>?)
    -> martlet_status = { run, branch, child in
      branchCall(run, onRunThread: true) { run throws(HostFailure) in
        let child = try place(child, "child")
        let parent = try run.held(branch)
        var reopened: Branch?
        try run.appending { () throws(EngineError) in reopened = try parent.branch.reopened() }
        child.pointee = Handle.pointer(try run.handle(of: reopened!, in: parent.run))
      }
    }

let hostDemote:
  @convention(c) (martlet_run?, martlet_branch?, UnsafeMutablePointer<UInt64>?) -> martlet_status =
    { run, branch, bytes in
      branchCall(run, onRunThread: true) { run throws(HostFailure) in
        let bytes = try place(bytes, "bytes")
        let branch = try run.branch(branch)
        let freed = try engineCall { () throws(EngineError) in try branch.demote() }
        bytes.pointee = UInt64(freed)
      }
    }

let hostRelease: @convention(c) (martlet_run?, martlet_branch?) -> martlet_status = { run, branch in
  branchCall(run, onRunThread: true) { run throws(HostFailure) in try run.release(branch) }
}

let hostState:
  @convention(c) (martlet_run?, martlet_branch?, UnsafeMutablePointer<martlet_branch_state>?)
    -> martlet_status = { run, branch, state in
      branchCall(run, onRunThread: false) { run throws(HostFailure) in
        let state = try place(state, "state")
        let branch = try run.branch(branch)
        try checkSize(state.pointee.size, of: martlet_branch_state.self, "state")
        let stop = branch.stop
        state.pointee.stop = martlet_stop(rawValue: stop.rawValue)
        state.pointee.finished = stop.isFinal ? 1 : 0
        state.pointee.prompt_tokens = UInt32(clamping: branch.promptTokens)
        state.pointee.generated_tokens = UInt32(clamping: branch.generatedTokens)
        state.pointee.kv_pages = UInt32(clamping: branch.kvPages)
        state.pointee.logprob = branch.logprob
        state.pointee.last_entropy = Double(branch.lastEntropy)
        state.pointee.reserved = 0
      }
    }

let hostText:
  @convention(c) (
    martlet_run?, martlet_branch?, UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, branch, buffer, capacity, needed in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      try deliver(try run.branch(branch).text, buffer, capacity, needed)
    }
  }

let hostTokens:
  @convention(c) (
    martlet_run?, martlet_branch?, UnsafeMutablePointer<Int32>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, branch, buffer, capacity, needed in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      try deliver(try run.branch(branch).tokens, buffer, capacity, needed)
    }
  }

let hostLogprobs:
  @convention(c) (
    martlet_run?, martlet_branch?, UnsafeMutablePointer<Float>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, branch, buffer, capacity, needed in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      try deliver(try run.branch(branch).logprobs, buffer, capacity, needed)
    }
  }

let hostEntropies:
  @convention(c) (
    martlet_run?, martlet_branch?, UnsafeMutablePointer<Float>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, branch, buffer, capacity, needed in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      try deliver(try run.branch(branch).entropies, buffer, capacity, needed)
    }
  }

let hostPath:
  @convention(c) (
    martlet_run?, martlet_branch?, UnsafeMutablePointer<UInt32>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, branch, buffer, capacity, needed in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      try deliver(try run.branch(branch).path.indices, buffer, capacity, needed)
    }
  }

extension PluginRun {
  /// Does engine work that takes prompt tokens, which the budget may refuse.
  fileprivate func appending(_ body: () throws(EngineError) -> Void) throws(HostFailure) {
    do throws(EngineError) {
      try body()
    } catch {
      throw error.code == .budget ? spentBudget() : HostFailure(error)
    }
  }
}
