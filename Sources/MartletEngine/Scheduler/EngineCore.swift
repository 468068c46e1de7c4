import Foundation
import MartletModel
import Synchronization

/// The engine behind its public face: one lock, one driver thread, all state.
///
/// Callers change state under the lock and wake the driver; the driver gathers a pass under the
/// lock, runs it without, and settles the results under the lock again. Whoever waits is answered
/// after the lock is given up. While a pass runs, pages may be returned but none is handed out, so
/// a pass may still write into a page that was returned under it and harm nobody.
final class EngineCore: @unchecked Sendable {
  // @unchecked: all mutable state is guarded by `lock`, except `releases`, a Mutex.
  let backend: any Backend
  let codec: any TokenCodec
  let endTokens: Set<Token>
  let configuration: EngineConfiguration
  let maximumBatch: Int
  /// The most tokens of one sequence.
  let contextLength: Int
  let constraints = ConstraintKeeper()
  private let runNumbers = Mutex<UInt64>(0)

  let lock = NSLock()
  private let driverWake = DispatchSemaphore(value: 0)
  private let driverEnd = DispatchSemaphore(value: 0)
  private let releases = Mutex<[BranchState]>([])

  var pool: PagePool
  /// Prompts that are kept beyond runs; nil for none.
  let prefixes: PrefixStore?
  var totals = EngineStatistics()
  /// Runs with submitted branches, in order of their first submission.
  var runs: [RunState] = []
  var isStopping = false
  var isWoken = false
  private var isAsleep = false
  private(set) var driver: Thread?
  /// Work for the driver thread between passes, each told apart by whether it was done.
  private var errands: [@Sendable (_ canRun: Bool) -> Void] = []
  /// Answers to give once the lock is given up.
  var answers: [@Sendable () -> Void] = []

  /// The pass being gathered, run or settled.
  var tick = 0
  var logits: LogitsBuffer
  /// Lanes that hold a row of `logits` while a pass is settled.
  var freshLanes: [Lane] = []
  /// Lanes with guesses among the rows of `logits`.
  var draftedLanes: [Lane] = []
  /// Everything generated with drafting on, once a run asks for it.
  var generated: DraftMemory?
  /// How far guesses from each source can be trusted.
  var draftCalibrations: [Drafting.Source: DraftCalibration] = [:]
  /// What drafters that compute have shown, and what the pass at hand says about one of them.
  var drafterRecords: [ObjectIdentifier: DrafterRecord] = [:]
  var stakes = DraftStakes()
  /// What guesses from text saved and cost: trying them takes microseconds, so it is done for longer.
  var textLedger = DraftLedger(opening: 16, look: 24)
  /// What recorders were last told, by source and number of branches.
  var draftDecisions: [String: Bool] = [:]
  /// Seconds that remembering a token takes, and tokens remembered.
  var rememberSeconds = 0.0
  var remembered = 0
  /// Memory of tests of guesses.
  var verifyScratch: [Float] = []
  /// What rows cost, for runs that draft.
  var rowCost = RowCost()
  /// A branch's share of a decoding pass, seconds; 0 before the first.
  var branchSeconds = 0.0
  /// Branches in the last decoding pass.
  var lastWidth = 0
  /// Bases with kept logits, each for as long as it has members: the next pass may never come, and a base
  /// leads to its run and all that this holds.
  var cachedBases: [CachedBase] = []

  struct CachedBase {
    weak var lane: Lane?

    /// Whether it is still to be asked for.
    var isOfUse: Bool { lane.map { $0.isAlive && $0.logits != nil } ?? false }
  }
  /// Prompts whose pages are being filled, the first one now.
  var restores: [PrefixRestore] = []

  init(backend: any Backend, configuration: EngineConfiguration) throws(EngineError) {
    func require(_ name: String, _ value: Int, atLeast least: Int) throws(EngineError) {
      guard value >= least else {
        throw EngineError(.argument, "\(name) is \(value); it must be \(least) or more")
      }
    }
    try require("prefillChunk", configuration.prefillChunk, atLeast: 1)
    try require("mixedPrefillChunk", configuration.mixedPrefillChunk, atLeast: 1)
    try require("maximumBatchTokens", configuration.maximumBatchTokens, atLeast: 1)
    try require("overrun", configuration.overrun, atLeast: 0)
    try require("logitsCacheBytes", configuration.logitsCacheBytes, atLeast: 0)
    try require(
      "draftMemoryBytes", configuration.draftMemoryBytes, atLeast: ContinuationIndex.leastBytes)
    try require("\(backend.name)'s vocabularySize", backend.vocabularySize, atLeast: 1)
    try require("\(backend.name)'s contextLength", backend.contextLength, atLeast: 1)
    try require("\(backend.name)'s pageTokens", backend.pageTokens, atLeast: 1)
    try require("\(backend.name)'s maximumBatchTokens", backend.maximumBatchTokens, atLeast: 1)
    self.backend = backend
    self.configuration = configuration
    codec = backend.tokenizer
    endTokens = codec.endOfGenerationTokens
    maximumBatch = min(backend.maximumBatchTokens, configuration.maximumBatchTokens)
    contextLength = configuration.contextLength ?? backend.contextLength
    pool = PagePool(backend: backend, byteLimit: configuration.kvBytesLimit)
    logits = try LogitsBuffer(rows: 1, vocabulary: backend.vocabularySize)
    prefixes = try configuration.prefixes.flatMap { options throws(EngineError) in
      try PrefixStore(options, backend: backend, kvBytesLimit: configuration.kvBytesLimit)
    }
    guard pool.limit >= 1 else {
      throw EngineError(
        .argument,
        "kvBytesLimit (--kv-bytes) is \(configuration.kvBytesLimit), less than one page of "
          + "\(backend.bytesPerPage) bytes; raise it")
    }
    guard let context = configuration.contextLength else { return }
    guard (1...backend.contextLength).contains(context) else {
      throw EngineError(
        .argument,
        "a context of \(context) tokens; \(backend.name) has 1 to \(backend.contextLength)")
    }
    try checkRoom(for: [context], limit: nil)
  }

  /// A number that no other run of this engine has.
  func nextRunNumber() -> UInt64 {
    runNumbers.withLock { number in
      number += 1
      return number
    }
  }

  // MARK: The lock

  /// Runs `body` with the lock held, then gives the answers it caused.
  func locked<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    lock.lock()
    let result: Result<R, E>
    do throws(E) {
      releaseDropped()
      result = .success(try body())
    } catch {
      result = .failure(error)
    }
    unlockAndAnswer()
    return try result.get()
  }

  /// Gives up the lock, then the answers that are due. Branches dropped while it was held are
  /// worked off, so that their pages do not wait for the next call.
  private func unlockAndAnswer() {
    while true {
      let pending = answers
      answers = []
      lock.unlock()
      for answer in pending { answer() }
      guard hasDropped, lock.try() else { return }
      releaseDropped()
      wake()
    }
  }

  private var hasDropped: Bool { releases.withLock { !$0.isEmpty } }

  /// Tells the driver that something changed. With the lock held.
  func wake() {
    isWoken = true
    guard isAsleep else { return }
    isAsleep = false
    driverWake.signal()
  }

  /// A branch handle went away. It may go anywhere, also while this thread holds the lock, so the
  /// branch is put in a list that the next holder of the lock works off.
  func releaseFromDeinit(_ state: BranchState) {
    releases.withLock { $0.append(state) }
    guard lock.try() else { return }
    releaseDropped()
    wake()
    unlockAndAnswer()
  }

  private func releaseDropped() {
    let dropped = releases.withLock { list in
      defer { list = [] }
      return list
    }
    for state in dropped { give(up: state) }
  }

  // MARK: The driver

  func start() {
    // Holds the core until shutdown, which the engine's deinit calls.
    let thread = Thread { self.drive() }
    driver = thread
    thread.name = "martlet-engine"
    thread.stackSize = 4 << 20
    thread.start()
  }

  private func drive() {
    lock.lock()
    while !isStopping {
      isWoken = false
      releaseDropped()
      if !errands.isEmpty {
        let errand = errands.removeFirst()
        unlockAndAnswer()
        errand(true)
        lock.lock()
        continue
      }
      askDrafters()
      seekPrefixes()
      let pass = gather()
      if !pass.work.isEmpty {
        execute(pass)
      } else if !settle() && !isWoken && answers.isEmpty && restores.isEmpty && !writePrefixes() {
        isAsleep = true
        unlockAndAnswer()
        driverWake.wait()
        lock.lock()
      }
      if !answers.isEmpty {
        unlockAndAnswer()
        lock.lock()
      }
      if !pass.work.isEmpty { _ = writePrefixes() }
    }
    while writePrefixes() {}
    abandonRestores()
    pool.forgetPrefixes()
    // The thread and the core hold each other.
    driver = nil
    let undone = errands
    errands = []
    lock.unlock()
    for errand in undone { errand(false) }
    driverEnd.signal()
  }

  /// Has coming tokens guessed, without the lock; then gives the lock back.
  private func askDrafters() {
    guard let question = draftQuestion() else { return }
    lock.unlock()
    let started = monotonicNanoseconds()
    let answer = ask(question)
    let seconds = Double(monotonicNanoseconds() - started) * 1e-9
    lock.lock()
    take(answer, to: question, seconds: seconds)
  }

  /// Runs `body` on the driver thread between two passes and returns what it gives; nil once the
  /// engine stops. Not for the driver thread itself.
  func onDriver<R: Sendable>(_ body: @escaping @Sendable () -> R) -> R? {
    let done = DispatchSemaphore(value: 0)
    let result = Outcome<R>()
    let isAccepted = locked { () throws(Never) in
      guard !isStopping, driver != nil else { return false }
      errands.append { canRun in
        if canRun { result.value.withLock { $0 = body() } }
        done.signal()
      }
      wake()
      return true
    }
    if isAccepted { done.wait() }
    return result.value.withLock { $0 }
  }

  /// What an errand gave.
  private final class Outcome<R: Sendable>: Sendable {
    let value = Mutex<R?>(nil)
  }

  /// Runs a pass without the lock and settles it with the lock.
  private func execute(_ gathered: Pass) {
    var pass = gathered
    let started = monotonicNanoseconds()
    announce(pass, began: true)
    lock.unlock()
    var failure: EngineError?
    do throws(EngineError) {
      if logits.rows < pass.allRows {
        logits = try LogitsBuffer(
          rows: max(pass.allRows, logits.rows * 2), vocabulary: backend.vocabularySize)
      }
      try backend.forward(pass.batch, logits: logits)
      if !pass.guideJobs.isEmpty { guide(&pass) }
    } catch {
      failure = error
    }
    lock.lock()
    announce(pass, began: false)
    let seconds = Double(monotonicNanoseconds() - started) * 1e-9
    totals.forwardSeconds += seconds
    if failure == nil, pass.isDecoding {
      rowCost.learn(rows: pass.batch.tokens.count, seconds: seconds)
      let share = seconds / Double(pass.decodeRows)
      branchSeconds = branchSeconds == 0 ? share : 0.9 * branchSeconds + 0.1 * share
    }
    finish(pass, failure)
    while settle() {}
    if failure == nil { settleStakes(pass, seconds: seconds) }
    keepUnusedLogits()
  }

  func shutdown() {
    let isDriver = locked { () throws(Never) in
      if !isStopping {
        isStopping = true
        for run in runs { halt(run, EngineError(.cancelled, "the engine was shut down")) }
        wake()
      }
      return Thread.current === driver
    }
    // The last reference to an engine may go in an answer given by the driver itself.
    if isDriver { return }
    driverEnd.wait()
    driverEnd.signal()
  }

  func statistics() -> EngineStatistics {
    locked { () throws(Never) in
      var result = totals
      result.pagesInUse = pool.inUse
      result.peakPages = pool.peak
      result.storedPages = pool.stored
      result.peakKVBytes = pool.peak * backend.bytesPerPage
      return result
    }
  }

  func checkVocabulary(_ tokens: [Token], what: String) throws(EngineError) {
    let size = backend.vocabularySize
    guard let bad = tokens.first(where: { $0 < 0 || Int($0) >= size }) else { return }
    throw EngineError(
      .argument, "\(what) has token \(bad), outside the vocabulary of \(size) of \(backend.name)")
  }
}

/// Nanoseconds on a clock that only goes forward.
func monotonicNanoseconds() -> UInt64 { DispatchTime.now().uptimeNanoseconds }
