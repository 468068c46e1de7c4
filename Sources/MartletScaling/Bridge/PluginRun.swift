import CMartlet
import Foundation
import MartletEngine
import Synchronization

/// One run as its strategy sees it: the engine's run, the branches it holds handles to, the ledger,
/// the judge, and the result so far.
///
/// Lives from before the strategy's `create` until after its `destroy`. Handles resolve only while
/// it is open, so whatever a plugin keeps afterwards names nothing.
final class PluginRun: Sendable {
  let engineRun: Run
  let prompt: String
  let ledger: BudgetLedger
  let judge: Judge
  let trace: TraceRecorder?
  let kvBytesLimit: Int?
  /// Called once, when the strategy first learns that the run is over.
  private let onEnd: @Sendable () -> Void
  private let state: Mutex<State>

  private struct State {
    var branches = BranchTable()
    var thread: pthread_t?
    var isOpen = true
    var isEnded = false
    var reachedKVCeiling = false
    var engineFailure: EngineError?
    var rootReleased = false
    var candidates: [RunResult.Candidate] = []
    var answer: Int?
  }

  init(
    engineRun: Run, prompt: String, ledger: BudgetLedger, judge: Judge, trace: TraceRecorder?,
    kvBytesLimit: Int?, onEnd: @escaping @Sendable () -> Void
  ) {
    self.engineRun = engineRun
    self.prompt = prompt
    self.ledger = ledger
    self.judge = judge
    self.trace = trace
    self.kvBytesLimit = kvBytesLimit
    self.onEnd = onEnd
    state = Mutex(State())
  }

  // MARK: The thread

  /// Makes the calling thread the run's own.
  func claimThread() { state.withLock { $0.thread = pthread_self() } }

  func checkThread() throws(HostFailure) {
    let isOwn = state.withLock { state in
      state.thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false
    }
    if !isOwn { throw .wrongThread }
  }

  func checkOpen() throws(HostFailure) {
    if !state.withLock({ $0.isOpen }) {
      throw HostFailure(MARTLET_E_HANDLE, "the run is over")
    }
  }

  /// Fails when the run was cancelled or its deadline has passed.
  func checkRunning() throws(HostFailure) {
    if ledger.notesDeadline() {
      noteEnd()
      throw HostFailure(MARTLET_E_CANCELLED, "the run's deadline has passed")
    }
    if engineRun.isCancelled {
      noteEnd()
      throw HostFailure(MARTLET_E_CANCELLED, "the run was cancelled")
    }
  }

  /// The failure of a call that the budget cut short. A deadline counts as a cancellation.
  func spentBudget() -> HostFailure {
    noteEnd()
    switch ledger.ended {
    case .seconds: return HostFailure(MARTLET_E_CANCELLED, "the run's deadline has passed")
    case .tokens: return HostFailure(MARTLET_E_BUDGET, "the token budget ended")
    case nil:
      state.withLock { $0.reachedKVCeiling = true }
      return HostFailure(
        MARTLET_E_BUDGET, "the ceiling on bytes of keys and values was reached")
    }
  }

  /// Notes that the run is over and the strategy should return soon.
  func noteEnd() {
    let isFirst = state.withLock { state in
      defer { state.isEnded = true }
      return !state.isEnded
    }
    if isFirst { onEnd() }
  }

  /// Whether a branch was refused pages.
  var reachedKVCeiling: Bool { state.withLock { $0.reachedKVCeiling } }

  /// Notes an error of the engine that is no fault of the strategy's.
  func noteEngine(_ error: EngineError) {
    switch error.code {
    case .backend, .logits, .memory, .file, .data:
      state.withLock { $0.engineFailure = $0.engineFailure ?? error }
    case .context, .argument, .state, .released, .cancelled: break
    }
  }

  /// What the engine failed with first.
  var engineFailure: EngineError? { state.withLock { $0.engineFailure } }

  // MARK: Branches

  /// The handle of the root, which is the same each time.
  func rootHandle() throws(HostFailure) -> UInt {
    let handle: UInt? = state.withLock { state in
      state.rootReleased ? nil : state.branches.handle(of: engineRun.root)
    }
    guard let handle else { throw HostFailure(MARTLET_E_HANDLE, "the root branch was released") }
    return handle
  }

  /// The handle of a branch. A branch made while the run was given up gets none, and goes with its
  /// last reference.
  func handle(of branch: Branch) throws(HostFailure) -> UInt {
    let handle = state.withLock { $0.isOpen ? $0.branches.handle(of: branch) : nil }
    guard let handle else { throw HostFailure(MARTLET_E_HANDLE, "the run is over") }
    return handle
  }

  func branch(_ handle: martlet_branch?) throws(HostFailure) -> Branch {
    guard let branch = state.withLock({ $0.branches[Handle.number(handle)] }) else {
      throw HostFailure(
        MARTLET_E_HANDLE,
        handle == nil
          ? "the branch is null" : "the branch was released, or belongs to another run")
    }
    return branch
  }

  /// The branches of a C array.
  func branches(
    _ handles: UnsafePointer<martlet_branch?>?, _ count: UInt32
  ) throws(HostFailure) -> [Branch] {
    guard let handles, count > 0 else {
      throw HostFailure(MARTLET_E_ARGUMENT, "the list of branches is null or empty")
    }
    var branches: [Branch] = []
    for index in 0..<Int(count) { branches.append(try branch(handles[index])) }
    return branches
  }

  func release(_ handle: martlet_branch?) throws(HostFailure) {
    let branch = state.withLock { state in
      let branch = state.branches.remove(Handle.number(handle))
      if let branch, branch.path == .root { state.rootReleased = true }
      return branch
    }
    guard let branch else {
      throw HostFailure(MARTLET_E_HANDLE, "the branch was released, or belongs to another run")
    }
    branch.release()
  }

  /// Drops the handle of a branch that the engine has released already.
  func forget(_ handle: martlet_branch?) {
    state.withLock { state in
      let branch = state.branches.remove(Handle.number(handle))
      if let branch, branch.path == .root { state.rootReleased = true }
    }
  }

  /// Bytes of keys and values below the ceiling; infinite without one.
  var kvBytesLeft: Double {
    guard let kvBytesLimit else { return .infinity }
    let statistics = engineRun.statistics
    let bytesPerPage =
      statistics.peakKVPages == 0 ? 0 : statistics.peakKVBytes / statistics.peakKVPages
    return Double(max(0, kvBytesLimit - statistics.kvPages * bytesPerPage))
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
    let answer =
      judge.hasExtractor
      ? try judge.extract(text, run: self) : text.text.trimmingWhitespace()
    let candidate = RunResult.Candidate(branch, judged: text, answer: answer)
    return state.withLock { state in
      state.candidates.append(candidate)
      return state.candidates.count - 1
    }
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

  func setAnswer(_ candidate: UInt32) throws(HostFailure) {
    let index = Int(candidate)
    let count = state.withLock { state in
      if index < state.candidates.count { state.answer = index }
      return state.candidates.count
    }
    try Self.check(candidate, of: count)
  }

  private static func check(_ candidate: UInt32, of count: Int) throws(HostFailure) {
    if Int(candidate) >= count {
      throw HostFailure(
        MARTLET_E_ARGUMENT, "there is no candidate \(candidate); there are \(count)")
    }
  }

  // MARK: The end

  /// The branches that still have handles, in order of path.
  var openBranches: [Branch] { state.withLock { $0.branches.ordered } }

  /// Makes every handle invalid and gives back all branches. May be called again.
  func close() {
    let branches = state.withLock { state in
      state.isOpen = false
      return state.branches.removeAll()
    }
    for branch in branches { branch.release() }
    engineRun.root.release()
  }
}
