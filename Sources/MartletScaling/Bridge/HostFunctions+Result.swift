import CMartlet
import MartletEngine

// Host functions about the result.

let hostCandidate:
  @convention(c) (martlet_run?, martlet_branch?, UnsafeMutablePointer<UInt32>?)
    -> martlet_status = { run, branch, index in
      strategyCall(run, onRunThread: true) { run throws(HostFailure) in
        let index = try place(index, "index")
        index.pointee = UInt32(try run.addCandidate(try run.ownBranch(branch)))
      }
    }

let hostCandidateText:
  @convention(c) (martlet_run?, UnsafePointer<CChar>?, Int, UnsafeMutablePointer<UInt32>?)
    -> martlet_status = { run, start, count, index in
      strategyCall(run, onRunThread: true) { run throws(HostFailure) in
        let index = try place(index, "index")
        index.pointee = UInt32(try run.addCandidate(text: try text(start, count, "text")))
      }
    }

let hostCandidateScore: @convention(c) (martlet_run?, UInt32, Double) -> martlet_status = {
  run, candidate, score in
  strategyCall(run, onRunThread: true) { run throws(HostFailure) in
    try run.setScore(score, of: candidate)
  }
}

let hostCandidateAnswer:
  @convention(c) (
    martlet_run?, UInt32, UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, candidate, buffer, capacity, needed in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      guard let answer = try run.candidate(candidate).answer else {
        try place(needed, "needed").pointee = 0
        throw HostFailure(MARTLET_E_NOT_FOUND, "candidate \(candidate) holds no answer")
      }
      try deliver(answer, buffer, capacity, needed)
    }
  }

let hostAnswer: @convention(c) (martlet_run?, UInt32) -> martlet_status = { run, candidate in
  strategyCall(run, onRunThread: true) { run throws(HostFailure) in try run.setAnswer(candidate) }
}

let hostCommit: @convention(c) (martlet_run?, UInt32) -> martlet_status = { run, candidate in
  strategyCall(run, onRunThread: true) { run throws(HostFailure) in
    try run.setAnswer(candidate, isCommitted: true)
  }
}

let hostAbstain: @convention(c) (martlet_run?) -> martlet_status = { run in
  strategyCall(run, onRunThread: true) { run throws(HostFailure) in try run.abstain() }
}
