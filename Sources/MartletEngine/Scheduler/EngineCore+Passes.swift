import MartletModel

/// What one forward pass does, in the scheduler's terms.
struct Pass {
  /// A stretch of one lane's tokens.
  struct Work {
    let lane: Lane
    var wantsLogits: Bool
    /// The branch whose own lane it is; nil for a common base.
    var state: BranchState?
    var range: Range<Int> = 0..<0
    var revision = 0
    /// Guesses that follow the last token of `range`.
    var draft: DraftTree?
    /// Its place among the pass's rows of early exits, or of jobs for models that guide.
    var guideIndex: Int?
    /// The team that its lane's branch is a member of, and how far it is to be processed at the most.
    var team: TeamState?
    var limit: Int?
    /// Where its tokens begin in the batch.
    var firstToken = 0

    var remaining: Int { (limit ?? lane.tokens.count) - lane.processed }
  }

  var work: [Work] = []
  var batch = ForwardBatch()
  /// Rows of logits after all layers.
  var logitsRows = 0
  var decodeRows = 0
  /// Rows of logits of early exits, which follow.
  var exitRows = 0
  /// What models that guide are to process, their rows after those.
  var guideJobs: [GuideJob] = []
  var guideFailures: [ObjectIdentifier: EngineError] = [:]

  struct GuideJob {
    let model: AmateurModel
    let id: UInt64
    let tokens: [Token]
    let wantsRow: Bool
  }

  /// All rows, for whatever they are.
  var allRows: Int { logitsRows + exitRows + guideJobs.count }

  /// Whether it decodes and does nothing else.
  var isDecoding: Bool { !work.isEmpty && decodeRows == work.count }
}

/// Gathering passes and taking in their results. With the lock held, on the driver thread.
extension EngineCore {
  /// Collects every ready token of every branch of every run: single next tokens first, then
  /// stretches of prompts and appended text, shared fairly among runs. Makes pages writable.
  func gather() -> Pass {
    tick += 1
    var (decodes, prefills, rounds) = candidates()
    var pass = Pass()
    guard !decodes.isEmpty || !prefills.isEmpty || !rounds.isEmpty else { return pass }

    // Decoding comes first, every branch in every pass, but never starves prefill: an eighth of a
    // full pass stays free for it. Nor does prefill starve decoding: beside it chunks are short.
    let longest = configuration.prefillChunk
    let chunk =
      decodes.isEmpty && rounds.isEmpty ? longest : min(longest, configuration.mixedPrefillChunk)
    var room = maximumBatch
    if !prefills.isEmpty {
      room -= min(chunk, max(1, maximumBatch / 8))
      if maximumBatch == 1 { room = decodes.isEmpty ? 0 : tick % 2 }
    }
    if !rounds.isEmpty {
      seat(&rounds, beside: &decodes, in: room)
    } else if decodes.count > room {
      // Whoever was served longest ago goes first.
      let order = decodes.indices.sorted {
        (decodes[$0].lane.lastServed, $0) < (decodes[$1].lane.lastServed, $1)
      }
      decodes = order.prefix(room).map { decodes[$0] }
    }
    let together = rounds.joined()
    let stretches = divide(
      prefills, among: min(chunk, maximumBatch - decodes.count - together.count))
    plant(&decodes, beside: stretches + together)
    for work in decodes { add(work, tokens: 1, to: &pass) }
    for work in together { add(work, tokens: 1, to: &pass) }
    pass.decodeRows = decodes.count + together.count
    for work in stretches { add(work, tokens: work.range.count, to: &pass) }
    showTeams(in: &pass)
    return pass
  }

  /// Stretches of prompts for `rows` rows, shared fairly among runs.
  private func divide(_ prefills: [[Pass.Work]], among rows: Int) -> [Pass.Work] {
    var stretches: [Pass.Work] = []
    var left = rows
    for turn in prefills.indices {
      let run = prefills[(turn + tick) % prefills.count]
      var share = (left + prefills.count - turn - 1) / (prefills.count - turn)
      for var work in run where share > 0 {
        let count = stretch(of: work.lane, atMost: min(share, work.remaining))
        work.range = work.lane.processed..<work.lane.processed + count
        stretches.append(work)
        share -= count
        left -= count
      }
    }
    return stretches
  }

  /// How many tokens of a lane go into one pass: see ``Backend/mostAppended``.
  private func stretch(of lane: Lane, atMost count: Int) -> Int {
    guard let most = backend.mostAppended, lane.processed + count > lane.promptCount else {
      return count
    }
    return min(count, max(most, lane.promptCount - lane.processed))
  }

  /// The work at hand, each lane once: single tokens, and longer stretches by run.
  private func candidates() -> (
    decodes: [Pass.Work], prefills: [[Pass.Work]], rounds: [[Pass.Work]]
  ) {
    var decodes: [Pass.Work] = []
    var rounds: [[Pass.Work]] = []
    var prefills: [[Pass.Work]] = []
    for run in runs {
      var found: [Pass.Work] = []
      for state in run.flights
      where state.isRunning && state.team == nil && forcedStep(state) == nil {
        for wanted in state.lanes {
          guard
            let (lane, needsLogits) = pool.nextWork(
              wanted, needsLogits: true, pageTokens: backend.pageTokens),
            !isBeingRestored(lane)
          else { continue }
          if lane.workTick == tick {
            found[lane.workIndex].wantsLogits = found[lane.workIndex].wantsLogits || needsLogits
          } else {
            lane.workTick = tick
            lane.workIndex = found.count
            found.append(
              Pass.Work(
                lane: lane, wantsLogits: needsLogits, state: lane === state.lane ? state : nil))
          }
        }
      }
      if run.teamMembers > 0 { rounds += teamWork(of: run, &found) }
      let longer = found.filter { $0.remaining > 1 }
      if !longer.isEmpty { prefills.append(longer) }
      decodes += found.filter { $0.remaining == 1 }
    }
    return (decodes, prefills, rounds)
  }

  private func add(_ candidate: Pass.Work, tokens: Int, to pass: inout Pass) {
    var work = candidate
    let lane = work.lane
    guard lane.run.failure == nil else { return }  // Halted earlier in this pass.
    let end = lane.processed + tokens
    do throws(PageShortage) {
      totals.pageCopies += try makeWritable(lane, upTo: end)
    } catch {
      switch error {
      case .ceiling: starve(lane)
      case .refused(let refusal):
        halt(
          lane.run,
          EngineError(
            refusal.code,
            "\(backend.name): no room for more keys and values: \(refusal.message); use fewer or "
              + "shorter branches, or free memory"))
        isWoken = true  // Others may go on where this one cannot.
      }
      return
    }
    work.range = lane.processed..<end
    work.revision = lane.revision
    work.wantsLogits = work.wantsLogits && end == lane.tokens.count
    lane.lastServed = tick
    work.firstToken = pass.batch.tokens.count
    let sequence = pass.batch.add(sequence: lane.pages, promptTokens: lane.promptCount)
    for position in work.range {
      pass.batch.tokens.append(
        BatchToken(
          token: lane.tokens[position], position: position, sequence: sequence,
          wantsLogits: work.wantsLogits && position == end - 1))
    }
    if work.wantsLogits { pass.logitsRows += 1 }
    addGuide(to: &work, of: &pass)
    for node in work.draft?.nodes ?? [] {
      pass.batch.tokens.append(
        BatchToken(
          token: node.token, position: node.position, sequence: sequence, wantsLogits: true,
          path: node.path))
      pass.logitsRows += 1
    }
    pass.work.append(work)
  }

  /// Asks for the row that guides the choice after a work, where its run is guided by one that
  /// depends on the branch's own tokens.
  private func addGuide(to work: inout Pass.Work, of pass: inout Pass) {
    let lane = work.lane
    guard let guidance = lane.run.guidance else { return }
    if let model = guidance.model {
      work.guideIndex = pass.guideJobs.count
      pass.guideJobs.append(
        .init(
          model: model, id: UInt64(UInt(bitPattern: ObjectIdentifier(lane))),
          tokens: Array(lane.tokens[..<work.range.upperBound]), wantsRow: work.wantsLogits))
    } else if work.wantsLogits, guidance.exitLayers > 0 {
      pass.batch.tokens[pass.batch.tokens.count - 1].exitLayers = guidance.exitLayers
      work.guideIndex = pass.exitRows
      pass.exitRows += 1
    }
  }

  /// Has models that guide process their part of a pass. Without the lock.
  func guide(_ pass: inout Pass) {
    let first = pass.logitsRows + pass.exitRows
    var done: Set<ObjectIdentifier> = []
    for model in pass.guideJobs.map(\.model) {
      let id = ObjectIdentifier(model)
      guard done.insert(id).inserted else { continue }
      let jobs = pass.guideJobs.enumerated().filter { $1.model === model }.map { index, job in
        AmateurModel.Job(
          id: job.id, tokens: job.tokens, row: job.wantsRow ? first + index : nil)
      }
      do throws(EngineError) {
        try model.process(jobs, into: logits)
      } catch {
        pass.guideFailures[id] = error
      }
    }
  }

  func makeWritable(_ lane: Lane, upTo end: Int) throws(PageShortage) -> Int {
    do throws(PageShortage) {
      return try pool.prepare(lane, upTo: end, backend: backend)
    } catch {
      guard abandonWaitingDrafts() || abandonWriting() else { throw error }
      return try pool.prepare(lane, upTo: end, backend: backend)
    }
  }

  /// Stops the branches that wait for a lane for which the ceiling leaves no page.
  private func starve(_ lane: Lane) {
    for state in lane.run.flights where state.isRunning {
      let isStarved = state.lanes.contains { wanted in
        var link: Lane? = wanted
        while let current = link, current !== lane { link = current.base }
        return link != nil
      }
      if isStarved { stop(state, .budget) }
    }
    resolve(lane.run)
    isWoken = true
  }

  /// Takes in a pass that ended.
  func finish(_ pass: Pass, _ failure: EngineError?) {
    totals.forwards += 1
    totals.processedTokens += pass.batch.tokens.count
    totals.batchHistogram[pass.batch.tokens.count, default: 0] += 1
    totals.logitsRows += pass.logitsRows + pass.exitRows
    var row = 0
    for work in pass.work {
      let lane = work.lane
      if lane.run.lastForward != tick {
        lane.run.lastForward = tick
        lane.run.statistics.forwards += 1
        if let failure { halt(lane.run, failure) }
      }
      if let model = lane.run.guidance?.model,
        let failure = pass.guideFailures[ObjectIdentifier(model)], lane.run.failure == nil
      {
        halt(lane.run, failure)
      }
      let own = row
      row += (work.wantsLogits ? 1 : 0) + (work.draft?.nodes.count ?? 0)
      guard failure == nil, lane.revision == work.revision else {
        if work.draft != nil && lane.isAlive { abandonDraft(of: lane) }
        continue
      }
      lane.processed = work.range.upperBound
      keepPrefix(of: lane)
      if work.wantsLogits && lane.tokens.count == work.range.upperBound {
        lane.freshRow = own
        let isOfModel = lane.run.guidance?.model != nil
        lane.guideRow = work.guideIndex.map {
          pass.logitsRows + (isOfModel ? pass.exitRows : 0) + $0
        }
        freshLanes.append(lane)
      }
      if let draft = work.draft { attach(draft, to: work, firstRow: own + 1) }
    }
  }

  /// Copies rows that were not used at once, and forgets the oldest that nobody waits for.
  func keepUnusedLogits() {
    var copies: [Int: [Float]] = [:]
    func copy(_ row: Int) -> [Float] {
      let copy = copies[row] ?? logits.row(row)
      copies[row] = copy
      return copy
    }
    for lane in freshLanes {
      guard let row = lane.freshRow else { continue }
      let guideRow = lane.guideRow
      lane.freshRow = nil
      lane.guideRow = nil
      guard lane.isAlive else { continue }
      lane.logits = copy(row)
      lane.guide = guideRow.map(copy)
      if !lane.isOwned { cachedBases.append(CachedBase(lane: lane)) }
    }
    freshLanes.removeAll(keepingCapacity: true)
    for lane in draftedLanes { lane.draft?.keepRows(logits.row) }
    draftedLanes.removeAll(keepingCapacity: true)
    cachedBases.removeAll { !$0.isOfUse }
    let rowBytes = backend.vocabularySize * MemoryLayout<Float>.stride
    while cachedBases.count * rowBytes > configuration.logitsCacheBytes {
      cachedBases.removeFirst().lane?.dropLogits()
    }
  }

  /// Tells the recorders of the runs in a pass that it begins or ended.
  func announce(_ pass: Pass, began: Bool) {
    var seen: [RunState] = []
    for work in pass.work where work.lane.run.recorder != nil {
      let run = work.lane.run
      guard !seen.contains(where: { $0 === run }) else { continue }
      seen.append(run)
      guard began else {
        run.record(.forwardEnded(index: tick))
        continue
      }
      let mine = pass.work.filter { $0.lane.run === run }
      run.record(
        .forwardBegan(
          index: tick, rows: pass.batch.tokens.count,
          runRows: mine.reduce(0) { $0 + $1.range.count },
          decodeRows: mine.count { $0.range.count == 1 }))
    }
  }
}
