import CMartlet
import Foundation
import Logging
import MartletEngine
import Synchronization

/// One run as its strategy sees it: the engine's run, the branches it holds handles to, the ledger,
/// the judge, and the result so far.
///
/// Lives from before the strategy's `create` until after its `destroy`. Handles resolve only while
/// it is open, so whatever a plugin keeps afterwards names nothing.
///
/// A strategy that another runs as its child has one of these within the other's: the same engine's
/// run and judge, a root and a ledger of its own. A scorer of branches has one too, for what it makes.
final class PluginRun: Sendable {
  let engineRun: Run
  /// Where its branches begin; nil for a scorer's.
  let root: Branch?
  let prompt: String
  private let ownLedger: BudgetLedger
  /// Whose ledger the strategy at work has, of this run and those around and within it.
  let payer: Payer
  let judge: Judge
  let trace: TraceRecorder?
  let kvBytesLimit: Int?
  let surroundings: Surroundings
  /// How many strategies it runs inside of.
  let depth: Int
  /// Called once, when the strategy first learns that the run is over.
  private let onEnd: @Sendable () -> Void
  /// Set when the run is given up; runs within it share it, so that whoever still works for one of
  /// them in another process is ended.
  let abandonment: Flag
  private let state: Mutex<State>

  /// The ledger of the strategy that is at work.
  final class Payer: Sendable {
    private let ledger: Mutex<BudgetLedger>

    init(_ ledger: BudgetLedger) { self.ledger = Mutex(ledger) }

    var current: BudgetLedger {
      get { ledger.withLock { $0 } }
      set { ledger.withLock { $0 = newValue } }
    }
  }

  /// What lies around all runs of a session.
  struct Surroundings: Sendable {
    let plugins: PluginHost
    let model: ModelSurroundings
    let suitableOptions: [String: String]
    let logger: Logger
    /// Hears of each answer named, and whether it is committed.
    let onAnswer: (@Sendable (RunResult.Candidate, _ isCommitted: Bool) -> Void)?
    /// What earlier runs left; nil where the user named none.
    var memory: RunMemory?
  }

  private struct State {
    var models: [UInt: Run] = [:]
    /// Their handles by name: branches of one model go into one call, whoever opened it.
    var modelNames: [String: UInt] = [:]
    var surroundings: [ObjectIdentifier: ModelSurroundings] = [:]
    var isCommitted = false
    var hasAbstained = false
    /// For a child: forks of the branches of its candidates, one of which is its answer.
    var kept: [Int: Branch] = [:]
    var branches = BranchTable()
    var thread: pthread_t?
    /// Whether a callback is being asked.
    var isAsking = false
    var isOpen = true
    var isEnded = false
    var reachedKVCeiling = false
    var engineFailure: EngineError?
    var rootReleased = false
    var candidates: [RunResult.Candidate] = []
    var answer: Int?
  }

  init(
    engineRun: Run, root: Branch?, prompt: String, ledger: BudgetLedger, judge: Judge,
    trace: TraceRecorder?, kvBytesLimit: Int?, surroundings: Surroundings, depth: Int = 0,
    abandonment: Flag = Flag(), payer: Payer? = nil, onEnd: @escaping @Sendable () -> Void
  ) {
    self.engineRun = engineRun
    self.root = root
    self.surroundings = surroundings
    self.depth = depth
    self.prompt = prompt
    ownLedger = ledger
    self.payer = payer ?? Payer(ledger)
    self.judge = judge
    self.trace = trace
    self.kvBytesLimit = kvBytesLimit
    self.onEnd = onEnd
    self.abandonment = abandonment
    state = Mutex(State())
  }

  /// What it spends from. A scorer's runs on from one strategy into those within it and back, and spends
  /// from whichever is at work: what it does for a child is the child's, and all around it, and nobody's
  /// who has ended.
  var ledger: BudgetLedger { isScorers ? payer.current : ownLedger }

  // MARK: The thread

  /// Makes the calling thread the run's own.
  func claimThread() { state.withLock { $0.thread = pthread_self() } }

  /// Leaves it to nobody: a scorer's, between calls.
  func leaveThread() { state.withLock { $0.thread = nil } }

  /// Whether it is a scorer's own, for the branches it makes.
  var isScorers: Bool { root == nil }

  func checkThread() throws(HostFailure) {
    let (thread, isAsking) = state.withLock { ($0.thread, $0.isAsking) }
    let isOwn = thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false
    if !isOwn { throw .wrongThread }
    if isAsking {
      throw HostFailure(
        MARTLET_E_STATE, "a callback may read branches; it changes none and runs no model")
    }
  }

  /// Asks a callback, which may only read meanwhile.
  func asking(_ body: () -> Int32) -> Int32 {
    state.withLock { $0.isAsking = true }
    defer { state.withLock { $0.isAsking = false } }
    return body()
  }

  func checkOpen() throws(HostFailure) {
    if !state.withLock({ $0.isOpen }) {
      throw HostFailure(MARTLET_E_HANDLE, "the run is over")
    }
  }

  /// Fails when the run was cancelled or its deadline has passed.
  func checkRunning() throws(HostFailure) {
    if ledger.notesDeadline() {
      if ledger.notesRunDeadline() { noteEnd() }
      throw HostFailure(MARTLET_E_CANCELLED, "the run's deadline has passed")
    }
    if engineRun.isCancelled {
      noteEnd()
      throw HostFailure(MARTLET_E_CANCELLED, "the run was cancelled")
    }
  }

  /// The failure of a call that the budget cut short. A deadline counts as a cancellation.
  func spentBudget() -> HostFailure {
    // A child's part may end while the run goes on.
    if ledger.runEnded != nil || ledger.ended == nil { noteEnd() }
    switch ledger.ended {
    case .seconds: return HostFailure(MARTLET_E_CANCELLED, "the run's deadline has passed")
    case .tokens: return HostFailure(MARTLET_E_BUDGET, "the token budget ended")
    case .totalTokens:
      return HostFailure(MARTLET_E_BUDGET, "the budget of tokens of all kinds ended")
    case .flops: return HostFailure(MARTLET_E_BUDGET, "the budget of operations ended")
    case nil:
      state.withLock { $0.reachedKVCeiling = true }
      return HostFailure(
        MARTLET_E_BUDGET, "the ceiling on bytes of keys and values was reached")
    }
  }

  /// Notes that the run is over and the strategy should return soon.
  @Sendable func noteEnd() {
    let isFirst = state.withLock { state in
      defer { state.isEnded = true }
      return !state.isEnded
    }
    if isFirst { onEnd() }
  }

  /// Whether a branch was refused pages.
  var reachedKVCeiling: Bool { state.withLock { $0.reachedKVCeiling } }

  /// Notes that something which works for the strategy was refused pages: a scorer, a child.
  func noteKVCeiling() { state.withLock { $0.reachedKVCeiling = true } }

  /// Notes an error of the engine that is no fault of the strategy's.
  func noteEngine(_ error: EngineError) {
    switch error.code {
    case .backend, .logits, .memory, .file, .data, .unrecorded:
      state.withLock { $0.engineFailure = $0.engineFailure ?? error }
    case .context, .argument, .state, .released, .cancelled, .budget: break
    }
  }

  /// What the engine failed with first.
  var engineFailure: EngineError? { state.withLock { $0.engineFailure } }

  // MARK: Branches

  /// The handle of the root, which is the same each time.
  func rootHandle() throws(HostFailure) -> UInt {
    guard let root else { throw HostFailure(MARTLET_E_STATE, "a scorer has no root branch") }
    let handle: UInt? = state.withLock { state in
      state.rootReleased ? nil : state.branches.handle(of: root, in: engineRun)
    }
    guard let handle else { throw HostFailure(MARTLET_E_HANDLE, "the root branch was released") }
    return handle
  }

  /// The handle of a branch. A branch made while the run was given up gets none, and goes with its
  /// last reference.
  func handle(of branch: Branch, in run: Run? = nil) throws(HostFailure) -> UInt {
    let handle = state.withLock {
      $0.isOpen ? $0.branches.handle(of: branch, in: run ?? engineRun) : nil
    }
    guard let handle else { throw HostFailure(MARTLET_E_HANDLE, "the run is over") }
    return handle
  }

  func held(_ handle: martlet_branch?) throws(HostFailure) -> HeldBranch {
    guard let held = state.withLock({ $0.branches[Handle.number(handle)] }) else {
      throw HostFailure(
        MARTLET_E_HANDLE,
        handle == nil
          ? "the branch is null" : "the branch was released, or belongs to another run")
    }
    return held
  }

  func branch(_ handle: martlet_branch?) throws(HostFailure) -> Branch { try held(handle).branch }

  /// A branch of the run's own model.
  func ownBranch(_ handle: martlet_branch?) throws(HostFailure) -> Branch {
    let held = try held(handle)
    try requireOwn(held.run)
    return held.branch
  }

  /// The branches of a C array, and the engine's run they belong to.
  func group(
    _ handles: UnsafePointer<martlet_branch?>?, _ count: UInt32
  ) throws(HostFailure) -> (run: Run, branches: [Branch]) {
    guard let handles, count > 0 else {
      throw HostFailure(MARTLET_E_ARGUMENT, "the list of branches is null or empty")
    }
    let first = try held(handles[0])
    var branches = [first.branch]
    for index in 1..<max(1, Int(count)) {
      let next = try held(handles[index])
      guard next.run === first.run else {
        throw HostFailure(
          MARTLET_E_ARGUMENT, "branches 0 and \(index) of the list are of two models")
      }
      branches.append(next.branch)
    }
    return (first.run, branches)
  }

  /// The branches of a C array, all of the run's own model.
  func branches(
    _ handles: UnsafePointer<martlet_branch?>?, _ count: UInt32
  ) throws(HostFailure) -> [Branch] {
    let (run, branches) = try group(handles, count)
    try requireOwn(run)
    return branches
  }

  private func requireOwn(_ run: Run) throws(HostFailure) {
    guard run === engineRun else {
      throw HostFailure(MARTLET_E_ARGUMENT, "a branch of another model serves no such purpose")
    }
  }

  func release(_ handle: martlet_branch?) throws(HostFailure) {
    let branch = state.withLock { state in
      let branch = state.branches.remove(Handle.number(handle))
      if let branch, branch === root { state.rootReleased = true }
      return branch
    }
    guard let branch else {
      throw HostFailure(MARTLET_E_HANDLE, "the branch was released, or belongs to another run")
    }
    branch.release()
  }

  // MARK: Other models

  /// Opens another model for this run and gives it a handle.
  func openModel(_ name: String) throws(HostFailure) -> UInt {
    if let known = state.withLock({ $0.modelNames[name] }) { return known }
    guard let open = surroundings.model.open else {
      throw HostFailure(MARTLET_E_UNSUPPORTED, "this host opens no other model")
    }
    let run: Run
    do throws(ScalingError) {
      var opened = try open(name)
      do throws(EngineError) {
        // Its root is never advanced: prompts come by `open_on`.
        run = try opened.engine.makeRun(prompt: [0], seed: engineRun.seed)
      } catch {
        throw ScalingError(error)
      }
      run.root.release()
      if let recording = trace?.recording {
        recording.attach(run, model: name, opened)
        opened = OpenedModel(
          engine: opened.engine,
          surroundings: recording.listening(to: opened.surroundings, as: name))
      }
      run.gate = ScoringGate(flopsPerToken: opened.surroundings.flopsPerToken) { [weak self] in
        self?.ledger
      }
      state.withLock { $0.surroundings[ObjectIdentifier(run)] = opened.surroundings }
    } catch {
      throw HostFailure(
        error.engineCode == .memory ? MARTLET_E_MEMORY : MARTLET_E_NOT_FOUND, error.message)
    }
    let number = Handle.next()
    state.withLock { ($0.models[number], $0.modelNames[name]) = (run, number) }
    return number
  }

  /// Opens a branch on a prompt, on another model if one is given.
  func open(
    _ prompt: String, asChat: Bool, on model: martlet_model? = nil
  ) throws(HostFailure) -> UInt {
    var target = (run: engineRun, surroundings: surroundings.model)
    if let model {
      let found = state.withLock { state in
        state.models[Handle.number(model)].map {
          ($0, state.surroundings[ObjectIdentifier($0)] ?? ModelSurroundings())
        }
      }
      guard let found else {
        throw HostFailure(MARTLET_E_HANDLE, "the model is none of this run's")
      }
      target = (found.0, found.1)
    }
    let tokens: [Int32]
    do throws(ScalingError) {
      tokens = try target.surroundings.tokens(of: prompt, asChat: asChat, in: target.run)
    } catch {
      throw HostFailure(MARTLET_E_ARGUMENT, error.message)
    }
    let branch: Branch
    do throws(EngineError) {
      branch = try target.run.open(prompt: tokens)
    } catch {
      throw error.code == .budget ? spentBudget() : HostFailure(error)
    }
    return try handle(of: branch, in: target.run)
  }

  /// Drops the handle of a branch that the engine has released already.
  func forget(_ handle: martlet_branch?) {
    state.withLock { state in
      let branch = state.branches.remove(Handle.number(handle))
      if let branch, branch === root { state.rootReleased = true }
    }
  }

  /// Bytes of keys and values below the ceiling; infinite without one.
  var kvBytesLeft: Double {
    let limits = [kvBytesLimit, engineRun.kvBytesLimit].compactMap(\.self)
    guard let kvBytesLimit = limits.min() else { return .infinity }
    let held = engineRun.statistics.kvPages * engineRun.engine.backend.bytesPerPage
    return Double(max(0, kvBytesLimit - held))
  }

  // MARK: Judging

  func judged(_ branch: Branch) -> JudgedText {
    JudgedText(
      prompt: prompt, text: branch.text, logprobs: branch.logprobs,
      isFinished: branch.stop == .endOfSequence || branch.stop == .stopString)
  }

  // MARK: The result

  var candidates: [RunResult.Candidate] { state.withLock { $0.candidates } }
  var answer: Int? { state.withLock { $0.answer } }

  /// Records a branch as it is now.
  func addCandidate(_ branch: Branch) throws(HostFailure) -> Int {
    let text = judged(branch)
    let candidate = RunResult.Candidate(branch, judged: text, answer: try answer(in: text))
    var kept: Branch?
    // A branch in a team cannot be forked: its candidate is a text alone.
    if depth > 0, !branch.isInTeam {
      kept = try engineCall { () throws(EngineError) in try branch.fork(1)[0] }
    }
    return state.withLock { state in
      state.candidates.append(candidate)
      state.kept[state.candidates.count - 1] = kept
      return state.candidates.count - 1
    }
  }

  /// Records a text that no branch holds.
  func addCandidate(text: String) throws(HostFailure) -> Int {
    let judged = JudgedText(prompt: prompt, text: text)
    let candidate = RunResult.Candidate(
      text: text, answer: try answer(in: judged), score: nil, logprob: 0, tokens: 0,
      finished: true, stop: .none)
    return state.withLock { state in
      state.candidates.append(candidate)
      return state.candidates.count - 1
    }
  }

  private func answer(in text: JudgedText) throws(HostFailure) -> String? {
    judge.hasExtractor
      ? try judge.extract(text, run: self) : text.text.trimmingWhitespace()
  }

  /// Takes over what a child recorded. Gives the index of its first candidate.
  func adopt(_ candidates: [RunResult.Candidate]) -> Int {
    state.withLock { state in
      state.candidates += candidates
      return state.candidates.count - candidates.count
    }
  }

  /// The fork that was kept of a candidate's branch, once.
  func takeKept(_ candidate: Int) -> Branch? {
    state.withLock { $0.kept.removeValue(forKey: candidate) }
  }

  func candidate(_ candidate: UInt32) throws(HostFailure) -> RunResult.Candidate {
    let all = candidates
    try Self.check(candidate, of: all.count)
    return all[Int(candidate)]
  }

  func setScore(_ score: Double, of candidate: UInt32) throws(HostFailure) {
    guard score.isFinite else {
      throw HostFailure(MARTLET_E_ARGUMENT, "the score \(score) is not finite")
    }
    let index = Int(candidate)
    let count = state.withLock { state in
      if index < state.candidates.count { state.candidates[index].score = score }
      return state.candidates.count
    }
    try Self.check(candidate, of: count)
  }

  func setAnswer(_ candidate: UInt32, isCommitted: Bool = false) throws(HostFailure) {
    let index = Int(candidate)
    var named: RunResult.Candidate?
    let (count, wasCommitted) = state.withLock { state in
      let wasCommitted = state.isCommitted
      if index < state.candidates.count, !wasCommitted {
        state.answer = index
        state.isCommitted = isCommitted
        state.hasAbstained = false
        named = state.candidates[index]
      }
      return (state.candidates.count, wasCommitted)
    }
    if wasCommitted {
      throw HostFailure(MARTLET_E_STATE, "the answer was committed and cannot be changed")
    }
    try Self.check(candidate, of: count)
    if let named {
      trace?.note(
        isCommitted ? "commit" : "answer", by: "martlet", ["candidate": .integer(Int64(index))])
      surroundings.onAnswer?(named, isCommitted)
    }
  }

  /// Declares that no answer is worth giving.
  func abstain() throws(HostFailure) {
    let isLate = state.withLock { state in
      if !state.isCommitted { (state.hasAbstained, state.answer) = (true, nil) }
      return state.isCommitted
    }
    if isLate {
      throw HostFailure(MARTLET_E_STATE, "the answer was committed and cannot be taken back")
    }
  }

  var hasAbstained: Bool { state.withLock { $0.hasAbstained } }

  private static func check(_ candidate: UInt32, of count: Int) throws(HostFailure) {
    if Int(candidate) >= count {
      throw HostFailure(
        MARTLET_E_ARGUMENT, "there is no candidate \(candidate); there are \(count)")
    }
  }

  /// Whether nobody waits for what is done here.
  var isAbandoned: Bool { abandonment.isSet }

  // MARK: The end

  /// The branches that still have handles, in order of path.
  var openBranches: [Branch] { state.withLock { $0.branches.ordered } }

  /// Takes back what was submitted and not waited for.
  func cancelSubmitted() {
    if engineRun.isIdle { return }
    for branch in openBranches { branch.cancel() }
  }

  /// Makes every handle invalid and gives back all branches. May be called again.
  func close() {
    let branches = state.withLock { state in
      defer {
        (state.kept, state.models, state.surroundings) = ([:], [:], [:])
        state.modelNames = [:]
      }
      state.isOpen = false
      return state.branches.removeAll() + state.kept.values
    }
    for branch in branches { branch.release() }
    root?.release()
  }
}
