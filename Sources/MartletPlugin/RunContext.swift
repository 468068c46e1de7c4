import CMartlet

/// A submitted branch that stopped.
public struct BranchEvent {
  /// Which branch.
  public let branch: Branch
  /// Why it stopped.
  public let stop: Stop
}

/// A recorded candidate of the result.
public struct Candidate: Sendable, Equatable {
  /// Its number in the result, from 0.
  public let index: Int
}

/// A strategy's door to its run. Use it on the strategy's own thread; ``component`` serves the
/// calls that any thread may make.
///
/// After the budget, the deadline or a cancellation ends the run, calls that work throw an error
/// whose ``PluginError/endsRun`` is true; reading, scoring, candidates and the answer go on working
/// so that the best answer so far can be returned.
public struct RunContext {
  let table: HostTable

  /// Options, budget, randomness, log and trace.
  public var component: ComponentContext { ComponentContext(table: table) }

  // MARK: Branches

  /// The branch that holds the prompt.
  public func root() throws(PluginError) -> Branch {
    var handle: martlet_branch?
    try table.check(table.host.pointee.root?(table.run, &handle), "root")
    return try table.branches([handle], "root")[0]
  }

  /// Replaces a population: result `i` continues `population[ancestors[i]]`. The population is
  /// released; results draw from new random paths. Only references move.
  public func resample(
    _ population: [Branch], ancestors: [Int]
  ) throws(PluginError) -> [Branch] {
    guard ancestors.count == population.count else {
      throw PluginError(
        .argument, "resample: \(ancestors.count) ancestors for \(population.count) branches")
    }
    var indices: [UInt32] = []
    for ancestor in ancestors {
      guard population.indices.contains(ancestor), let index = UInt32(exactly: ancestor) else {
        throw PluginError(.argument, "resample: ancestor \(ancestor) is not in the population")
      }
      indices.append(index)
    }
    let handles = population.map { Optional($0.handle) }
    var result = [martlet_branch?](repeating: nil, count: handles.count)
    try table.check(
      table.host.pointee.resample?(
        table.run, handles, UInt32(handles.count), indices, &result), "resample")
    return try table.branches(result, "resample")
  }

  // MARK: Advancing

  /// Advances all branches together and waits until each has stopped; finished ones stay as they
  /// are.
  public func advance(
    _ branches: [Branch], _ advance: Advance = Advance()
  ) throws(PluginError) {
    if branches.isEmpty { return }
    let status = withAdvance(advance) { how in
      let handles = branches.map { Optional($0.handle) }
      return table.host.pointee.advance?(table.run, handles, UInt32(handles.count), &how)
    }
    try table.check(status, "advance")
  }

  /// Advances branches together, and asks after each token of each whether that branch is done: it
  /// stops with ``Stop/callback`` where `until` says true. An error that `until` throws stops the
  /// branch too, and is thrown when the advance has ended.
  public func advance(
    _ branches: [Branch], _ advance: Advance = Advance(),
    until: (Branch) throws(PluginError) -> Bool
  ) throws(PluginError) {
    if branches.isEmpty { return }
    let table = table
    let status = withoutActuallyEscaping(until) { until in
      var question = Question(table: table, until: until)
      return withUnsafeMutablePointer(to: &question) { context in
        let status = withAdvance(advance) { how in
          how.until_context = UnsafeMutableRawPointer(context)
          how.until = { context, branch in
            guard let context, let branch else { return 1 }
            return context.assumingMemoryBound(to: Question.self).pointee.isDone(branch) ? 1 : 0
          }
          let handles = branches.map { Optional($0.handle) }
          return table.host.pointee.advance?(table.run, handles, UInt32(handles.count), &how)
        }
        return (status, context.pointee.failure)
      }
    }
    if let failure = status.1 { throw failure }
    try table.check(status.0, "advance")
  }

  /// What an advance asks after each token.
  private struct Question {
    let table: HostTable
    let until: (Branch) throws(PluginError) -> Bool
    var failure: PluginError?

    mutating func isDone(_ handle: martlet_branch) -> Bool {
      do throws(PluginError) {
        return try until(Branch(handle: handle, table: table))
      } catch {
        failure = failure ?? error
        return true
      }
    }
  }

  /// Starts branches without waiting; ``waitAny()`` tells of each that stopped.
  public func submit(
    _ branches: [Branch], _ advance: Advance = Advance()
  ) throws(PluginError) {
    let status = withAdvance(advance) { how in
      let handles = branches.map { Optional($0.handle) }
      return table.host.pointee.submit?(table.run, handles, UInt32(handles.count), &how)
    }
    try table.check(status, "submit")
  }

  /// Waits for the next submitted branch that stopped. The order does not depend on time: by tokens
  /// committed, then by branch path.
  /// - Throws: `state` when nothing is submitted.
  public func waitAny() throws(PluginError) -> BranchEvent {
    var event = martlet_event()
    event.size = UInt32(MemoryLayout<martlet_event>.size)
    try table.check(table.host.pointee.wait_any?(table.run, &event), "wait_any")
    return BranchEvent(
      branch: try table.branches([event.branch], "wait_any")[0], stop: Stop(event.stop))
  }

  /// Advances groups of branches, each in its own way, all together, and waits until each branch has
  /// stopped.
  public func advance(together groups: [([Branch], Advance)]) throws(PluginError) {
    for (branches, advance) in groups where !branches.isEmpty {
      try submit(branches, advance)
    }
    var end: PluginError?
    for _ in groups.flatMap(\.0) {
      switch try waitAny().stop {
      case .budget: end = PluginError(.budget, "a budget of the run ended")
      case .cancelled: end = PluginError(.cancelled, "the run was cancelled")
      default: break
      }
    }
    if let end { throw end }
  }

  /// Does work until it is done or the run ends, whichever is first, and returns which: nil, or the
  /// error that ended the run. Use it around the work after which an answer is chosen.
  @discardableResult
  public func untilRunEnds(
    _ work: () throws(PluginError) -> Void
  ) throws(PluginError) -> PluginError? {
    do throws(PluginError) {
      try work()
      return nil
    } catch  where error.endsRun {
      return error
    }
  }

  // MARK: What width costs

  /// The time of a step in which `width` branches decode one token each, relative to a step of one,
  /// on this machine with this model: 1 for 1, never falling. The first call may measure. Differs
  /// between machines; the host notes the answer in the trace.
  /// - Throws: `argument` for a width below 1.
  public func widthCost(_ width: Int) throws(PluginError) -> Double {
    guard let width = UInt32(exactly: width) else {
      throw PluginError(.argument, "widthCost: \(width) is no number of branches")
    }
    var cost = 0.0
    try table.check(table.host.pointee.width_cost?(table.run, width, &cost), "width_cost")
    return cost
  }

  /// The largest width whose step costs at most twice a step of one: up to it another branch is
  /// nearly free here. At least 1.
  public func kneeWidth() throws(PluginError) -> Int {
    var width: UInt32 = 0
    try table.check(table.host.pointee.knee_width?(table.run, &width), "knee_width")
    return Int(width)
  }

  // MARK: Judging and answering

  /// Scores branches with the run's scorer, higher is better.
  /// - Throws: `notFound` when the run has no scorer.
  public func score(_ branches: [Branch]) throws(PluginError) -> [Double] {
    let handles = branches.map { Optional($0.handle) }
    var scores = [Double](repeating: 0, count: branches.count)
    try table.check(
      table.host.pointee.score?(table.run, handles, UInt32(handles.count), &scores), "score")
    return scores
  }

  /// Records a branch as a candidate of the result; the branch may be released afterwards.
  public func candidate(
    _ branch: Branch, score: Double? = nil
  ) throws(PluginError) -> Candidate {
    var index: UInt32 = 0
    try table.check(
      table.host.pointee.candidate?(table.run, branch.handle, &index), "candidate")
    if let score {
      try table.check(
        table.host.pointee.candidate_score?(table.run, index, score), "candidate_score")
    }
    return Candidate(index: Int(index))
  }

  /// Names the answer so far; the last call counts, also when the run ends or fails afterwards.
  public func answer(_ candidate: Candidate) throws(PluginError) {
    try table.check(
      table.host.pointee.answer?(table.run, UInt32(candidate.index)), "answer")
  }

  /// Lends an advance in its C form.
  private func withAdvance(
    _ advance: Advance, _ body: (inout martlet_advance) -> martlet_status?
  ) -> martlet_status? {
    var how = martlet_advance()
    how.size = UInt32(MemoryLayout<martlet_advance>.size)
    how.max_tokens = UInt32(clamping: advance.maxTokens ?? 0)
    how.flags = advance.continues ? UInt32(MARTLET_ADVANCE_CONTINUES) : 0
    how.entropy_above = advance.entropyAbove ?? 0
    how.logprob_below = advance.logprobBelow ?? 0
    return advance.delimiters.joined(separator: "\0").withCharacters { characters, count in
      how.delimiters = count == 0 ? nil : characters
      how.delimiters_length = count
      return (advance.sampling ?? "").withCharacters { characters, count in
        how.sampling = count == 0 ? nil : characters
        how.sampling_length = count
        return body(&how)
      }
    }
  }
}
