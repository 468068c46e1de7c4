import Logging
import MartletModel

/// Asking drafters before a pass: what they are asked with the lock held, their work without it, and
/// what becomes of their answers. On the driver thread.
extension EngineCore {
  /// What one drafter is to be asked.
  struct DraftQuestion {
    let drafter: any Drafter
    let states: [BranchState]
    let sequences: [DraftSequence]
    let economy: DraftEconomy
  }

  /// How far one drafter has proved itself.
  struct DrafterRecord {
    /// Whose record it is: another drafter may come to lie at the same address.
    weak var drafter: (any Drafter)?
    var calibration = GuessCalibration()
    /// How often one of the guesses drawn for a place is kept, a fading mean.
    var acceptance = 0.7
    /// What it saved and cost. A first question may have a prompt to read, and is to be had.
    var ledger = DraftLedger(opening: 4, look: 2)
    /// A drafter that failed is not asked again.
    var hasFailed = false
  }

  /// What the coming pass owes to guessing.
  struct DraftStakes {
    /// Who was asked before it.
    var drafter: ObjectIdentifier?
    /// Whether it first had to read what it had not seen.
    var isWarmUp = false
    /// Whether text was looked through for guesses.
    var isPlanned = false
    /// Seconds that guessing took beside the pass.
    var seconds = 0.0
    /// What tokens are worth that were drawn without a row of their own: one that takes a branch ahead
    /// of those it is waited for with less than one of the slowest.
    var gained = 0.0
  }

  /// The question before the next pass; none where a pass would also prefill, where the drafter does
  /// not pay, or where a plain pass is due. With the lock held.
  func draftQuestion() -> DraftQuestion? {
    guard runs.contains(where: { $0.drafting.drafter != nil && $0.drafting.isOn }) else {
      return nil
    }
    var byDrafter: [ObjectIdentifier: (drafter: any Drafter, states: [BranchState])] = [:]
    var width = 0
    for run in runs {
      for state in run.flights
      where state.isRunning && state.team == nil && forcedStep(state) == nil {
        guard
          let (lane, _) = pool.nextWork(
            state.lane, needsLogits: true, pageTokens: backend.pageTokens)
        else { continue }
        // Prompts come first, and common tokens of branches are processed without guesses.
        guard lane.tokens.count - lane.processed == 1 else { return nil }
        width += 1
        guard let drafter = run.drafting.drafter, run.drafting.isOn, lane === state.lane else {
          continue
        }
        byDrafter[ObjectIdentifier(drafter), default: (drafter, [])].states.append(state)
      }
    }
    // One drafter at a time is asked, and answers for the time it takes.
    guard let (id, (drafter, states)) = byDrafter.min(by: { $0.key < $1.key }) else { return nil }
    if drafterRecords[id]?.drafter == nil { drafterRecords[id] = DrafterRecord(drafter: drafter) }
    guard !drafterRecords[id]!.hasFailed else { return nil }
    guard drafterRecords[id]!.ledger.allows(branches: width), !rowCost.mustSee(rows: width) else {
      return nil
    }
    let chosen = states.filter { seat($0).depth > 0 }
    guard !chosen.isEmpty else { return nil }
    var sequences: [DraftSequence] = []
    for state in chosen {
      guard let sequence = sequence(of: state, drafter) else { return nil }
      sequences.append(sequence)
    }
    let plain = rowCost.seconds(width) ?? 0
    let economy = DraftEconomy(
      secondsPerToken: plain / Double(width), calibration: drafterRecords[id]!.calibration,
      acceptance: Float(drafterRecords[id]!.acceptance))
    return DraftQuestion(drafter: drafter, states: chosen, sequences: sequences, economy: economy)
  }

  /// What a drafter is told of a branch; nil where there are no pages for it to work in.
  private func sequence(of state: BranchState, _ drafter: any Drafter) -> DraftSequence? {
    let limits = seat(state)
    let lane = state.lane
    if drafter.usesTargetPages {
      do throws(PageShortage) {
        totals.pageCopies += try pool.prepare(
          lane, upTo: lane.tokens.count + limits.nodes, backend: backend, forGuesses: true)
      } catch {
        return nil
      }
    }
    return DraftSequence(
      id: UInt64(UInt(bitPattern: ObjectIdentifier(state))), tokens: lane.tokens,
      depth: limits.depth, nodes: limits.nodes,
      pages: drafter.usesTargetPages || drafter.readsHiddenStates ? lane.pages : [],
      verifier: state.run.drafting.verifier,
      dice: DraftDice(
        options: state.run.sampling, draws: state.run.draws, guesses: state.run.guesses,
        path: state.path, epoch: state.epoch, generated: state.count,
        mirostatMu: state.mirostatMu, vocabulary: backend.vocabularySize))
  }

  /// Asks without the lock.
  func ask(_ question: DraftQuestion) -> Result<DraftRound, EngineError> {
    do throws(EngineError) {
      let round = try question.drafter.propose(question.sequences, economy: question.economy)
      for proposal in round.proposals {
        try proposal.checkLaws(vocabulary: backend.vocabularySize)
      }
      return .success(round)
    } catch {
      return .failure(error)
    }
  }

  /// Takes in what a drafter said. Branches may have gone elsewhere meanwhile. With the lock held.
  func take(
    _ answer: Result<DraftRound, EngineError>, to question: DraftQuestion, seconds: Double
  ) {
    stakes.drafter = ObjectIdentifier(question.drafter)
    stakes.seconds += seconds
    totals.draftSeconds += seconds
    if question.drafter.usesTargetPages {
      // The pages of guesses stay only where a tree is planted.
      for state in question.states where state.lane.isAlive && state.lane.draft == nil {
        pool.setProcessed(state.lane, state.lane.processed, pageTokens: backend.pageTokens)
      }
    }
    switch answer {
    case .failure(let error):
      drafterRecords[ObjectIdentifier(question.drafter)]?.hasFailed = true
      Logger(label: "martlet.engine").warning(
        "the drafter \(question.drafter.name) is not asked again: \(error.message)")
    case .success(let round):
      stakes.isWarmUp = round.isWarmUp
      for (index, state) in question.states.enumerated() where index < round.proposals.count {
        guard state.lane.tokens == question.sequences[index].tokens else { continue }
        let proposal = round.proposals[index]
        state.proposal = BranchProposal(
          proposal.keeping(below: backend.vocabularySize), at: state.lane.tokens.count)
        state.run.statistics.guessedTokens += proposal.guesses.count
      }
    }
  }

  /// Settles what guessing gave and took about a pass that ended, once its tokens are drawn. What is
  /// decided by it is told to the recorders.
  func settleStakes(_ pass: Pass, seconds: Double) {
    defer { stakes = DraftStakes() }
    let width = pass.decodeRows
    guard width > 0, runs.contains(where: { $0.drafting.isOn }),
      let plain = rowCost.seconds(width)
    else { return }
    let guesses = pass.work.reduce(0) { $0 + ($1.draft?.nodes.count ?? 0) }
    var took = plain
    if guesses > 0 {
      // Beside prompts, and where time is only said, rows take what they are said to take.
      took =
        pass.isDecoding && !rowCost.isStated ? seconds : rowCost.seconds(width + guesses) ?? plain
    }
    var outcome = DraftOutcome(
      branches: width, plain: plain, seconds: took,
      beside: rowCost.isStated && stakes.drafter == nil ? 0 : stakes.seconds, gained: stakes.gained)
    guard let id = stakes.drafter, drafterRecords[id] != nil else {
      textLedger.settle(outcome, isTried: stakes.isPlanned)
      for id in drafterRecords.keys {
        drafterRecords[id]!.ledger.settle(.plain(outcome), isTried: false)
      }
      recordDecisions(width)
      return
    }
    textLedger.settle(.plain(outcome), isTried: false)
    // What text alone would have saved is not the drafter's merit.
    outcome.beside += max(0, textLedger.rate(branches: width)) * plain
    drafterRecords[id]!.ledger.settle(
      outcome, isTried: true, isTypical: !stakes.isWarmUp)
    recordDecisions(width)
  }

  /// Tells the recorders where guessing began to pay or ceased to.
  private func recordDecisions(_ width: Int) {
    guard runs.contains(where: { $0.recorder != nil && $0.drafting.isOn }) else { return }
    let kind = Int.bitWidth - width.leadingZeroBitCount
    var decisions = [("text", textLedger)]
    for record in drafterRecords.values {
      if let drafter = record.drafter { decisions.append((drafter.name, record.ledger)) }
    }
    for (source, ledger) in decisions {
      let isOn = ledger.allows(branches: width)
      let key = "\(source) \(kind)"
      guard draftDecisions[key] ?? true != isOn else { continue }
      draftDecisions[key] = isOn
      for run in runs where run.drafting.isOn {
        run.record(
          .draftingDecided(
            forward: tick, branches: width, source: source, isOn: isOn,
            balance: ledger.balance ?? 0))
      }
    }
  }

  /// Takes in whether one of the guesses that a drafter drew for a place was kept.
  func learnAcceptance(_ kept: Bool, of drafter: any Drafter) {
    let id = ObjectIdentifier(drafter)
    guard let known = drafterRecords[id]?.acceptance else { return }
    drafterRecords[id]?.acceptance = 0.98 * known + (kept ? 0.02 : 0)
  }

  /// Holds a token just drawn against what was guessed for its place. Before it is appended.
  func judgeProposal(_ token: Token, _ state: BranchState) {
    guard var proposal = state.proposal, let drafter = state.run.drafting.drafter else { return }
    guard proposal.count == state.lane.tokens.count else {
      state.proposal = nil
      return
    }
    let id = ObjectIdentifier(drafter)
    // Guesses drawn for a test by rejection come true by that test (`learnAcceptance`).
    if !proposal.tree.hasLaws {
      proposal.tree.forEachChild(of: proposal.cursor) { _, guess in
        drafterRecords[id]?.calibration.learn(
          rank: guess.rank, guess.probability, came: guess.token == token)
      }
    }
    if let next = proposal.tree.child(of: proposal.cursor, token: token) {
      proposal.cursor = next
      proposal.count += 1
      state.proposal = proposal
    } else {
      state.proposal = nil
    }
  }
}

/// A drafter's guesses for one branch, and how far it went along them.
struct BranchProposal {
  let tree: DraftProposal
  /// The guess that the branch's last token is; -1 for none of them.
  var cursor = -1
  /// Tokens of the branch at which `cursor` is true.
  var count: Int

  init(_ tree: DraftProposal, at count: Int) {
    self.tree = tree
    self.count = count
  }
}
