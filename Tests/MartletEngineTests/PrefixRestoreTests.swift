import Foundation
import MartletEngine
import MartletKernels
import MartletModel
import MartletSimulation
import Synchronization
import Testing

/// Prompts that come back from files while other runs go on.
@Suite("Restoring prefixes", .serialized)
struct PrefixRestoreTests {
  /// A simulation whose pages are large in files, and that tells in which order it was called.
  final class LargePages: PrefixSharing, BackendAround {
    let inner: SimulatedBackend
    /// A pass, or a page that was filled.
    enum Call { case forward, fill }
    let calls = Mutex<[Call]>([])
    /// Called before each of them.
    let before: @Sendable (Call) -> Void
    let sharesPrefixPages: Bool

    init(shares: Bool = true, before: @escaping @Sendable (Call) -> Void = { _ in }) {
      inner = SimulatedBackend(
        world: hashedBackend().world, pageTokens: 4, bytesPerPage: 1000, sharesPrefixPages: shares)
      sharesPrefixPages = shares
      self.before = before
    }

    private func note(_ call: Call) {
      before(call)
      calls.withLock { $0.append(call) }
    }

    func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError) {
      note(.forward)
      try inner.forward(batch, logits: logits)
    }

    var prefixIdentity: String? { inner.prefixIdentity }
    var prefixPageBytes: Int { 1 << 20 }
    func takePage(from source: PageID, to target: PageID) {
      note(.fill)
      inner.takePage(from: source, to: target)
    }
    func pageBytes(_ page: PageID) throws(EngineError) -> [UInt8] {
      let bytes = try inner.pageBytes(page)
      return bytes + [UInt8](repeating: 0, count: prefixPageBytes - bytes.count)
    }
    func setPage(_ page: PageID, to bytes: [UInt8]) throws(EngineError) {
      note(.fill)
      try inner.setPage(page, to: Array(bytes.prefix(inner.prefixPageBytes)))
    }
  }

  private func engine(_ backend: LargePages, _ folder: String, stored: Int = 0) throws -> Engine {
    var configuration = EngineConfiguration(kvBytesLimit: 1000 * backend.bytesPerPage)
    configuration.prefixes = PrefixStoreOptions(
      folder: folder, memoryBytes: stored * backend.bytesPerPage, folderBytes: 1 << 30)
    return try Engine(backend: backend, configuration: configuration)
  }

  private func folder() -> String {
    FileManager.default.temporaryDirectory.appending(path: "martlet-restore-\(UUID())").path
  }

  private func tokens(_ count: Int, _ seed: UInt64) -> [Token] {
    var random = TestRandom(seed: seed)
    return (0..<count).map { _ in Token(random.next() % 13) }
  }

  private static let cached = 160

  /// A folder with a prompt of forty whole pages, a mebibyte each.
  private func prepared() throws -> (folder: String, prompt: [Token]) {
    let (folder, prompt) = (folder(), tokens(162, 1))
    let engine = try engine(LargePages(), folder)
    let run = try engine.makeRun(prompt: prompt)
    try run.advanceBlocking([run.root], Advance(maxTokens: 1))
    engine.shutdown()
    return (folder, prompt)
  }

  /// Lets passes wait at the third until it is opened.
  private final class Gate: Sendable {
    private let opened = DispatchSemaphore(value: 0)
    private let passes = Mutex(0)
    func open() { opened.signal() }
    func pass() {
      guard
        passes.withLock({
          $0 += 1; return $0 == 3
        })
      else { return }
      opened.wait()
    }
  }

  @Test("tokens of other runs come between its pieces", arguments: [true, false])
  func goesOn(shares: Bool) throws {
    let (folder, prompt) = try prepared()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let gate = Gate()
    let backend = LargePages(shares: shares) { if $0 == .forward { gate.pass() } }
    let engine = try engine(backend, folder, stored: 100)
    defer { engine.shutdown() }
    // The identity of the folder is found out by a pass of its own.
    let first = try engine.makeRun(prompt: tokens(9, 7), seed: 1)
    try first.submit([first.root], Advance(maxTokens: 60))
    let large = try engine.makeRun(prompt: prompt, seed: 2)
    let same = try engine.makeRun(prompt: prompt, seed: 2)
    try large.submit([large.root], Advance(maxTokens: 5))
    try same.submit([same.root], Advance(maxTokens: 5))
    gate.open()
    for run in [first, large, same] { while try run.waitAny() != nil {} }
    for run in [large, same] {
      #expect(run.statistics.cachedPromptTokens == Self.cached)
      expectTrue(run.root, to: backend.inner.world, prompt: prompt)
    }
    #expect(large.root.tokens == same.root.tokens && large.root.tokens.count == 5)
    expectTrue(first.root, to: backend.inner.world, prompt: tokens(9, 7))
    let calls = backend.calls.withLock { $0 }
    let fills = calls.indices.filter { calls[$0] == .fill }
    // Once from files; and once more from memory where pages are not shared.
    #expect(fills.count == (shares ? 40 : 80))
    var (streak, longest) = (0, 0)
    for call in calls {
      streak = call == .fill ? streak + 1 : 0
      longest = max(longest, streak)
    }
    #expect(longest <= 8, "\(longest) MiB were filled while others waited")
    #expect(first.root.tokens.count == 60)
  }

  @Test("a run that goes away meanwhile leaves nothing behind", arguments: [true, false])
  func goesAway(shares: Bool) throws {
    let (folder, prompt) = try prepared()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let (reached, gone) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let fills = Mutex(0)
    let backend = LargePages(shares: shares) { call in
      guard call == .fill,
        fills.withLock({
          $0 += 1; return $0 == 20
        })
      else { return }
      reached.signal()
      gone.wait()
    }
    let engine = try engine(backend, folder)
    defer { engine.shutdown() }
    let run = try engine.makeRun(prompt: prompt, seed: 2)
    try run.submit([run.root], Advance(maxTokens: 5))
    reached.wait()
    run.cancel()
    run.root.release()
    gone.signal()
    // Another prompt, so that the driver has been round.
    let other = try engine.makeRun(prompt: tokens(9, 3), seed: 1)
    try other.advanceBlocking([other.root], Advance(maxTokens: 2))
    other.root.release()
    #expect(engine.pagesInUse == 0)
    let again = try engine.makeRun(prompt: prompt, seed: 2)
    try again.advanceBlocking([again.root], Advance(maxTokens: 5))
    #expect(again.statistics.cachedPromptTokens == Self.cached)
    expectTrue(again.root, to: backend.inner.world, prompt: prompt)
  }

  @Test("an engine that stops meanwhile stops")
  func stops() throws {
    let (folder, prompt) = try prepared()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let reached = DispatchSemaphore(value: 0)
    let fills = Mutex(0)
    let backend = LargePages(shares: false) { call in
      if call == .fill,
        fills.withLock({
          $0 += 1; return $0 == 5
        })
      {
        reached.signal()
      }
    }
    let engine = try engine(backend, folder)
    let run = try engine.makeRun(prompt: prompt, seed: 2)
    try run.submit([run.root], Advance(maxTokens: 5))
    reached.wait()
    engine.shutdown()
    #expect(engine.statistics.storedPages == 0)
  }
}
