import CMartlet
import MartletEngine

// Host functions that judge.

let hostScore:
  @convention(c) (
    martlet_run?, UnsafePointer<martlet_branch?>?, UInt32, UnsafeMutablePointer<Double>?
  ) -> martlet_status = { run, branches, count, scores in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      let scores = try place(scores, "scores")
      let judged = try run.judge.score(try run.branches(branches, count), run: run)
      ContractWatch.noteScores(judged, of: branches)
      for (index, score) in judged.enumerated() { scores[index] = score }
    }
  }

let hostScoreBy:
  @convention(c) (
    martlet_run?, UnsafePointer<CChar>?, UnsafePointer<martlet_branch?>?, UInt32,
    UnsafeMutablePointer<Double>?
  ) -> martlet_status = { run, scorer, branches, count, scores in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      let scores = try place(scores, "scores")
      let scorer = try text(scorer, "scorer")
      let judged = try run.judge.score(try run.branches(branches, count), by: scorer, run: run)
      for (index, score) in judged.enumerated() { scores[index] = score }
    }
  }

let hostExtract:
  @convention(c) (
    martlet_run?, martlet_branch?, UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, branch, buffer, capacity, needed in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      try extract(run.judged(try run.branch(branch)), run, buffer, capacity, needed)
    }
  }

let hostExtractText:
  @convention(c) (
    martlet_run?, UnsafePointer<CChar>?, Int, UnsafeMutablePointer<CChar>?, Int,
    UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, start, count, buffer, capacity, needed in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      let judged = JudgedText(prompt: run.prompt, text: try text(start, count, "text"))
      try extract(judged, run, buffer, capacity, needed)
    }
  }

private func extract(
  _ judged: JudgedText, _ run: PluginRun, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int,
  _ needed: UnsafeMutablePointer<Int>?
) throws(HostFailure) {
  guard run.judge.hasExtractor else {
    throw HostFailure(MARTLET_E_NOT_FOUND, "the run has no extractor")
  }
  guard let answer = try run.judge.extract(judged, run: run) else {
    try place(needed, "needed").pointee = 0
    throw HostFailure(MARTLET_E_NOT_FOUND, "the text holds no answer")
  }
  try deliver(answer, buffer, capacity, needed)
}
