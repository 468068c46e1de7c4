import MartletModel

/// Guessing ahead: planting trees in a pass, and going down them as tokens are drawn. With the lock
/// held, on the driver thread except where stated.
extension EngineCore {
  /// The most rows that drafts may bring a pass to.
  private static let mostRows = 64

  /// Says what rows cost, where that is known. On any thread, without the lock.
  func setRowCost(_ curve: CostCurve) {
    locked { () throws(Never) in rowCost.use(curve) }
  }

  /// Makes the memories of a new run. On any thread.
  func beginDrafting(_ root: BranchState) {
    let run = root.run
    let sources = run.drafting.isOn ? run.drafting.sources : []
    if sources.contains(.siblings) {
      run.memory = DraftMemory(calibration(of: .siblings))
      run.memory?.read(root.lane.tokens, promptCount: root.promptCount)
    }
    if sources.contains(.ngram) {
      root.memory = DraftMemory(calibration(of: .ngram))
      root.memory?.read(root.lane.tokens, promptCount: root.promptCount)
    }
    if sources.contains(.trie), generated == nil {
      generated = makeGenerated()
    }
  }

  func calibration(of source: Drafting.Source) -> DraftCalibration {
    if let known = draftCalibrations[source] { return known }
    let fresh = DraftCalibration()
    draftCalibrations[source] = fresh
    return fresh
  }

  /// What remembering may take of a branch's share of a pass where nothing shows that it pays.
  private static let rememberShare = 0.005

  /// A memory beyond the caches takes several times as long to ask. A wide pass of a tiny model does not.
  private func uses(_ source: Drafting.Source, _ run: RunState) -> Bool {
    run.drafting.sources.contains(source)
      && (source != .trie || branchSeconds == 0 || rowCost.isStated || branchSeconds > 100e-6)
  }

  /// Whether a token of a branch is remembered: always where that takes next to nothing or pays, else of
  /// stretches of its text as many as it takes to notice when guessing would pay.
  private func isRemembered(_ state: BranchState) -> Bool {
    guard branchSeconds > 0, !rowCost.isStated else { return true }
    let share = rememberSeconds / branchSeconds
    if share < Self.rememberShare { return true }
    if textLedger.allows(branches: lastWidth) && textLedger.rate(branches: lastWidth) > share {
      return true
    }
    let stride = 1 + Int(min(1e3, share / Self.rememberShare))
    let stretch = Int(state.path.indices.last ?? 0) + state.lane.tokens.count / 64
    return stretch % stride == 0
  }

  /// Takes in a token drawn after the branch's last.
  func remember(_ token: Token, _ state: BranchState) {
    let run = state.run
    guard run.drafting.isOn, isRemembered(state) else { return }
    // Reading the clock takes a tenth of what is measured.
    remembered += 1
    let isTimed = remembered & 7 == 0
    let began = isTimed ? monotonicNanoseconds() : 0
    let contexts = TokenTail(state.lane.tokens, promptCount: state.promptCount).contexts
    let number = drawNumber(state, state.lane.tokens.count)
    state.memory?.observe(contexts, drawn: token, number: number)
    run.memory?.observe(contexts, drawn: token, number: number)
    if uses(.trie, run) { generated?.observe(contexts, drawn: token, number: number) }
    if isTimed {
      let seconds = Double(monotonicNanoseconds() - began) * 1e-9
      rememberSeconds += (min(seconds, 10e-6) - rememberSeconds) / 16
    }
    stakes.seconds += rememberSeconds
  }

  /// Takes in text appended to a branch, from its token `known` on. On any thread.
  func remember(from known: Int, _ state: BranchState) {
    guard state.run.drafting.isOn else { return }
    state.memory?.read(state.lane.tokens, from: known, promptCount: state.promptCount)
    state.run.memory?.read(state.lane.tokens, from: known, promptCount: state.promptCount)
  }

  /// The random number, in 65,536ths, by which a branch's token at `position` is drawn along the
  /// cumulative distribution; nil where its run draws in another way.
  private func drawNumber(_ state: BranchState, _ position: Int) -> UInt16? {
    let run = state.run
    guard run.sampling.drawsAlongIDs else { return nil }
    return UInt16(
      65_536 * run.draws.uniform(path: state.path, epoch: state.epoch, position: position))
  }

  /// Gives the works that decode in a pass the trees that are worth their rows. `prefills` are the
  /// stretches of prompts in the same pass, which come before any guess.
  func plant(_ decodes: inout [Pass.Work], beside prefills: [Pass.Work] = []) {
    let rows = decodes.count
    lastWidth = rows
    guard decodes.contains(where: { $0.state?.run.drafting.isOn ?? false }),
      stakes.drafter != nil || (textLedger.allows(branches: rows) && !rowCost.mustSee(rows: rows))
    else { return }
    // Past the knee rows are no longer nearly free. What the curve still promises there is less than it
    // errs, and all branches of a wide run have to gain for the run to be over sooner.
    guard rows == 1 || rowCost(rows) < CostCurve.kneeFactor else { return }
    let others = prefills.reduce(0) { $0 + $1.range.count }
    var planner = DraftPlanner(cost: rowCost.beside(others, decodes: rows))
    if let id = stakes.drafter, let record = drafterRecords[id] {
      planner.calibration = record.calibration
    }
    let limit = min(maximumBatch - others, max(rows, Self.mostRows - others))
    guard planner.usefulRows(rows: rows, branches: rows, limit: limit) > 0 else { return }
    let began = monotonicNanoseconds()
    defer { stakes.seconds += Double(monotonicNanoseconds() - began) * 1e-9 }
    stakes.isPlanned = true
    let states = decodes.map(\.state)
    var seats = states.map(seat)
    let drawn = plansOfDraws(&seats, states, cost: planner.cost, rows: rows, limit: limit)
    let drawnRows = drawn.values.reduce(0) { $0 + $1.tokens.count }
    let plans = planner.plan(seats, rows: rows + drawnRows, limit: limit) { seat, tail in
      guesses(states[seat]!, after: tail)
    }.enumerated().map { drawn[$0] ?? $1 }
    for (index, plan) in plans.enumerated() where !plan.tokens.isEmpty {
      decodes[index].draft = DraftTree(
        tokens: plan.tokens, parents: plan.parents, probabilities: plan.probabilities,
        start: decodes[index].lane.tokens.count, laws: plan.laws)
    }
    makeRoom(for: &decodes, after: prefills)
  }

  /// Trees of guesses that were drawn by chance, by seat, for runs that test those by their law. Their
  /// seats are taken out of `seats`.
  private func plansOfDraws(
    _ seats: inout [DraftPlanner.Seat], _ states: [BranchState?], cost: RowCost, rows: Int,
    limit: Int
  ) -> [Int: DraftPlanner.Plan] {
    let chosen = seats.indices.filter {
      (states[$0]?.run.drafting.verifier.draws ?? 0) > 0 && seats[$0].nodes > 0
        && seats[$0].proposal?.hasLaws ?? false
    }
    guard !chosen.isEmpty, let id = stakes.drafter else { return [:] }
    let planner = LawPlanner(cost: cost, acceptance: drafterRecords[id]?.acceptance ?? 0.7)
    let plans = planner.plan(
      chosen.map { seats[$0].proposal! }, most: chosen.map { seats[$0].nodes }, rows: rows,
      limit: limit)
    for index in chosen {
      seats[index].nodes = 0
      seats[index].proposal = nil
    }
    return Dictionary(uniqueKeysWithValues: zip(chosen, plans))
  }

  /// Pages for the tokens of all works first, and then for what is guessed: a guess never takes a
  /// page from a token. Where they do not reach, guesses go.
  private func makeRoom(for works: inout [Pass.Work], after prefills: [Pass.Work]) {
    guard works.contains(where: { $0.draft != nil }) else { return }
    func prepare(_ work: Pass.Work, _ end: Int, forGuesses: Bool = false) -> Bool {
      do throws(PageShortage) {
        totals.pageCopies += try pool.prepare(
          work.lane, upTo: end, backend: backend, forGuesses: forGuesses)
        return true
      } catch {
        return false
      }
    }
    let isRoomy =
      works.allSatisfy { prepare($0, $0.lane.tokens.count) }
      && prefills.allSatisfy { prepare($0, $0.range.upperBound) }
    for index in works.indices {
      guard let draft = works[index].draft else { continue }
      // Whether guesses that are tested by their law have room must not depend on which they are.
      let most = draft.hasLaws ? seat(works[index].state).nodes : draft.nodes.count
      let end = works[index].lane.tokens.count + most
      if !isRoomy || !prepare(works[index], end, forGuesses: true) { works[index].draft = nil }
    }
  }

  /// Returns the pages of guesses that wait for their branch to be drawn from. Whether there were any.
  func abandonWaitingDrafts() -> Bool {
    var found = false
    for run in runs {
      for state in run.flights where state.lane.draft != nil {
        abandonDraft(of: state.lane)
        found = true
      }
    }
    return found
  }

  func seat(_ state: BranchState?) -> DraftPlanner.Seat {
    guard let state, state.run.drafting.isOn, state.flight?.query == nil else {
      return .init(tail: TokenTail(), depth: 0, nodes: 0, worth: 1)
    }
    let drafting = state.run.drafting
    // The pass yields one token without a draft; drafts are for those after it.
    var wanted = contextLength - state.lane.tokens.count
    if let limit = state.run.stops.maxTokens { wanted = min(wanted, limit - state.count) }
    if let flight = state.flight, let limit = flight.maxTokens {
      wanted = min(wanted, limit - (state.count - flight.startCount))
    }
    if let left = state.run.gate?.remainingTokens { wanted = min(wanted, left) }
    let depth = min(drafting.maximumDepth, wanted - 1, (backend.mostAppended ?? .max) - 1)
    let slots = contextLength - state.lane.tokens.count
    return .init(
      tail: TokenTail(state.lane.tokens, promptCount: state.promptCount), depth: depth,
      nodes: depth > 0 ? min(drafting.maximumNodes, slots) : 0,
      worth: worth(of: state), proposal: proposal(of: state))
  }

  /// What a drafter guessed for the place where a branch is now.
  private func proposal(of state: BranchState) -> DraftProposal? {
    guard let proposal = state.proposal, proposal.cursor < 0,
      proposal.count == state.lane.tokens.count
    else { return nil }
    return proposal.tree
  }

  /// Branches of a run are waited for together, so the slowest one's tokens are what counts.
  func worth(of state: BranchState) -> Double {
    let slowest = state.run.flights.lazy.filter(\.isRunning).map(\.round).min() ?? state.round
    return max(0.1, 1 - Double(state.round - slowest) / 8)
  }

  /// What the memories of a branch guess; of several the one that is surest.
  private func guesses(_ state: BranchState, after tail: TokenTail) -> DraftGuesses {
    let run = state.run
    let contexts = tail.contexts
    let number = drawNumber(state, tail.count)
    var best = DraftGuesses()
    func hear(_ guesses: DraftGuesses?) {
      if let guesses, guesses.most > best.most { best = guesses }
    }
    hear(state.memory?.guesses(after: contexts, number: number))
    hear(run.memory?.guesses(after: contexts, number: number))
    if uses(.trie, run) { hear(generated?.guesses(after: contexts, number: number)) }
    return backend.supportsTrees ? best : best.single
  }

  /// Gives a lane the draft that a pass has processed, unless its branch has gone elsewhere.
  func attach(_ draft: DraftTree, to work: Pass.Work, firstRow: Int) {
    let lane = work.lane
    let run = lane.run
    run.statistics.draftedTokens += draft.nodes.count
    totals.draftedTokens += draft.nodes.count
    guard let state = work.state else { return abandonDraft(of: lane) }
    var draft = draft
    draft.origin = (state.path, tick)
    draft.setRows(from: firstRow)
    lane.draft = draft
    guard state.lane === lane, state.isRunning, lane.freshRow != nil else {
      return abandonDraft(of: lane)
    }
    draftedLanes.append(lane)
  }

  /// Forgets what was guessed and returns its pages. On any thread.
  func abandonDraft(of lane: Lane) {
    pool.setProcessed(lane, lane.processed, pageTokens: backend.pageTokens)
  }

  /// Goes down the branch's tree by the token just drawn, if that was guessed: it is processed
  /// already, and the logits after it are there.
  func follow(_ token: Token, _ state: BranchState) {
    let lane = state.lane
    guard lane.draft != nil else { return }
    guard let node = lane.draft?.follow(token) else { return abandonDraft(of: lane) }
    let size = backend.pageTokens
    if node.slot != node.position {
      backend.movePosition(
        from: (lane.pages[node.slot / size], node.slot % size),
        to: (lane.pages[node.position / size], node.position % size))
    }
    lane.processed = node.position + 1
    lane.freshRow = node.row
    lane.logits = node.logits
    lane.isAhead = true
    if node.row != nil { freshLanes.append(lane) }
    state.run.statistics.acceptedTokens += 1
    totals.acceptedTokens += 1
    if lane.draft?.isSpent ?? true { abandonDraft(of: lane) }
  }
}

extension SamplingOptions {
  /// Whether one random number decides, along the cumulative distribution in order of token id.
  var drawsAlongIDs: Bool {
    switch draw {
    case .inverse, .arithmetic: temperature > 0
    case .gumbel, .withoutReplacement, .priority: false
    }
  }
}
