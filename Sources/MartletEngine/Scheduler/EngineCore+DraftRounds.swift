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
    /// By the binary logarithm of the number of branches that decode.
    var wagers: [Int: DraftWager] = [:]
    /// A drafter that failed is not asked again.
    var hasFailed = false
  }

  /// Seconds and tokens between the ends of two passes, which is what a wager is about.
  struct DraftStakes {
    var drafter: ObjectIdentifier?
    var width = 0
    var isDrafted = false
    var isCounted = false
    var seconds = 0.0
    /// What the tokens drawn are worth: one that takes a branch ahead of those it is waited for with
    /// less than one of the slowest.
    var worth = 0.0
  }

  /// The question before the next pass; none where a pass would also prefill, or
  /// where drafters did not pay lately. With the lock held.
  func draftQuestion() -> DraftQuestion? {
    stakes = DraftStakes()
    guard runs.contains(where: { $0.drafting.drafter != nil && $0.drafting.isOn }) else {
      return nil
    }
    var byDrafter: [ObjectIdentifier: (drafter: any Drafter, states: [BranchState])] = [:]
    var width = 0
    for run in runs {
      for state in run.flights where state.isRunning && forcedStep(state) == nil {
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
    let size = Int.bitWidth - width.leadingZeroBitCount
    stakes = DraftStakes(drafter: id, width: size, isCounted: true)
    guard drafterRecords[id]!.wagers[size, default: DraftWager()].bets() else { return nil }
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
    stakes.isDrafted = true
    stakes.seconds = seconds
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
      if round.isWarmUp { stakes.isCounted = false }
      for (index, state) in question.states.enumerated() where index < round.proposals.count {
        guard state.lane.tokens == question.sequences[index].tokens else { continue }
        let proposal = round.proposals[index]
        state.proposal = BranchProposal(
          proposal.keeping(below: backend.vocabularySize), at: state.lane.tokens.count)
        state.run.statistics.guessedTokens += proposal.guesses.count
      }
    }
  }

  /// Settles the wager about a pass that ended, once its tokens are drawn.
  func settleStakes(seconds: Double, wasDecoding: Bool) {
    guard let id = stakes.drafter, stakes.isCounted, wasDecoding else { return }
    drafterRecords[id]?.wagers[stakes.width, default: DraftWager()].learn(
      drafted: stakes.isDrafted, tokens: stakes.worth, seconds: seconds + stakes.seconds)
  }

  /// Takes in whether one of the guesses that a drafter drew for a place was kept.
  func learnAcceptance(_ kept: Bool, of drafter: any Drafter) {
    let id = ObjectIdentifier(drafter)
    guard let known = drafterRecords[id]?.acceptance else { return }
    drafterRecords[id]?.acceptance = 0.98 * known + (kept ? 0.02 : 0)
  }

  /// Holds a token just drawn against what was guessed for its place. Before it is appended.
  func judgeProposal(_ token: Token, _ state: BranchState) {
    if stakes.drafter != nil { stakes.worth += worth(of: state) }
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
