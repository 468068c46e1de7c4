import Foundation
import MartletEngine
import Synchronization

/// What a forward pass costs in a simulation: seconds = `perForward` + `perRow` × tokens.
public struct SimulatedCost: Sendable, Equatable {
  /// Seconds of any pass.
  public var perForward: Double
  /// Seconds of each token in it.
  public var perRow: Double
  /// Whether the time is really slept; otherwise it is only counted.
  public var sleeps: Bool

  /// A cost line; free by default.
  public init(perForward: Double = 0, perRow: Double = 0, sleeps: Bool = false) {
    self.perForward = perForward
    self.perRow = perRow
    self.sleeps = sleeps
  }

  /// Seconds of a pass over `rows` tokens.
  public func seconds(rows: Int) -> Double { perForward + perRow * Double(rows) }
}

/// A backend whose logits come from a ``SimulatedWorld``.
///
/// Its pages hold the tokens themselves: `forward` writes each token at its position in its page
/// and asks the world about the history it then reads back from the pages. So pages, copies and
/// shared prefixes count as they would for a model, and an engine that got a page wrong would get
/// the text wrong. Batches that break the backend contract throw.
public final class SimulatedBackend: PrefixSharing {
  public let name: String
  public let contextLength: Int
  public let pageTokens: Int
  public let bytesPerPage: Int
  public let maximumBatchTokens: Int
  /// Where the distributions come from.
  public let world: any SimulatedWorld
  /// What passes cost.
  public let cost: SimulatedCost
  /// The most pages there is storage for; more are refused, as by a system short of memory.
  public let storagePages: Int
  /// Whether prompts share pages that are kept, or get copies as under retrieval attention.
  public let sharesPrefixPages: Bool

  private struct Storage {
    var pages: [[Int32]] = []
    var statistics = Statistics()
  }

  /// What the backend was asked to do.
  public struct Statistics: Sendable, Equatable {
    /// Forward passes.
    public var forwards = 0
    /// Tokens in them.
    public var rows = 0
    /// Rows of logits wanted.
    public var logitsRows = 0
    /// The most tokens in one pass.
    public var largestBatch = 0
    /// Pages copied.
    public var copies = 0
    /// Positions of accepted tree nodes moved.
    public var moves = 0
    /// Pages reserved.
    public var reservedPages = 0
    /// Seconds by the cost line.
    public var virtualSeconds = 0.0
  }

  private let storage = Mutex(Storage())

  /// A simulated model.
  public init(
    world: any SimulatedWorld, contextLength: Int = 4096, pageTokens: Int = 32,
    bytesPerPage: Int = 4096, maximumBatchTokens: Int = 512, cost: SimulatedCost = .init(),
    storagePages: Int = .max, name: String = "simulation", sharesPrefixPages: Bool = true
  ) {
    self.sharesPrefixPages = sharesPrefixPages
    self.world = world
    self.contextLength = contextLength
    self.pageTokens = pageTokens
    self.bytesPerPage = bytesPerPage
    self.maximumBatchTokens = maximumBatchTokens
    self.cost = cost
    self.storagePages = storagePages
    self.name = name
  }

  public var tokenizer: any TokenCodec { world.codec }
  public var vocabularySize: Int { world.codec.vocabularySize }

  /// Seconds by the cost line, so that an engine's cost curve is exact and needs no measuring.
  public func statedStepSeconds(width: Int) -> Double? { cost.seconds(rows: width) }

  /// What it was asked to do so far.
  public var statistics: Statistics { storage.withLock { $0.statistics } }

  public func reservePages(_ count: Int) throws(EngineError) {
    guard count <= storagePages else {
      throw EngineError(.memory, "there is storage for \(storagePages) pages, not for \(count)")
    }
    storage.withLock { storage in
      let blank = [Int32](repeating: SimulatedBackend.blank, count: pageTokens)
      while storage.pages.count < count { storage.pages.append(blank) }
      storage.statistics.reservedPages = storage.pages.count
    }
  }

  public func copyPage(from source: PageID, to target: PageID, positions: Int) {
    storage.withLock { storage in
      var copy = [Int32](repeating: SimulatedBackend.blank, count: pageTokens)
      copy.replaceSubrange(0..<positions, with: storage.pages[Int(source)][0..<positions])
      storage.pages[Int(target)] = copy
      storage.statistics.copies += 1
    }
  }

  public var supportsTrees: Bool { true }

  /// A token of a team is a token after all that it sees: the world is asked about the stretches one after
  /// another.
  public var supportsTeams: Bool { true }

  public var supportsShifts: Bool { true }

  public func shiftPosition(
    from source: (page: PageID, slot: Int), at position: Int,
    to target: (page: PageID, slot: Int), at newPosition: Int
  ) {
    movePosition(from: source, to: target)
  }

  public func movePosition(
    from source: (page: PageID, slot: Int), to target: (page: PageID, slot: Int)
  ) {
    storage.withLock { storage in
      storage.pages[Int(target.page)][target.slot] = storage.pages[Int(source.page)][source.slot]
      storage.statistics.moves += 1
    }
  }

  public func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError) {
    let result = storage.withLock { storage -> Result<Void, EngineError> in
      do throws(EngineError) {
        try process(batch, logits, &storage)
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try result.get()
    let seconds = cost.seconds(rows: batch.tokens.count)
    if cost.sleeps && seconds > 0 { Thread.sleep(forTimeInterval: seconds) }
  }

  private static let blank: Int32 = -1

  private func process(
    _ batch: ForwardBatch, _ logits: LogitsBuffer, _ storage: inout Storage
  ) throws(EngineError) {
    try check(batch, storage)
    // All writes come before any read, as in a model that writes a layer's keys for the whole batch.
    for token in batch.tokens {
      let page = batch.sequences[token.sequence][token.slot / pageTokens]
      storage.pages[Int(page)][token.slot % pageTokens] = token.token
    }
    var row = 0
    for token in batch.tokens where token.wantsLogits {
      let history =
        try token.view.isEmpty
        ? history(batch.sequences[token.sequence], token, storage)
        : history(token, batch.sequences, storage)
      let values = world.logits(after: history)
      guard values.count == logits.vocabulary else {
        throw fault("the world gave \(values.count) logits, not \(logits.vocabulary)")
      }
      logits.setRow(row, values)
      row += 1
    }
    storage.statistics.forwards += 1
    storage.statistics.rows += batch.tokens.count
    storage.statistics.logitsRows += row
    storage.statistics.largestBatch = max(storage.statistics.largestBatch, batch.tokens.count)
    storage.statistics.virtualSeconds += cost.seconds(rows: batch.tokens.count)
  }

  private func history(
    _ table: [PageID], _ last: BatchToken, _ storage: Storage
  ) throws(EngineError) -> [Int32] {
    var tokens: [Int32] = []
    tokens.reserveCapacity(last.position + 1)
    let prefix = last.position + 1 - last.path.count
    for i in 0...last.position {
      let slot = i < prefix ? i : last.path[i - prefix]
      let token = storage.pages[Int(table[slot / pageTokens])][slot % pageTokens]
      guard token != SimulatedBackend.blank else {
        throw fault("position \(i) is read but slot \(slot) was never written")
      }
      tokens.append(token)
    }
    return tokens
  }

  /// What a token sees that reads several sequences.
  private func history(
    _ token: BatchToken, _ tables: [[PageID]], _ storage: Storage
  ) throws(EngineError) -> [Int32] {
    let count = token.view.reduce(0) { $0 + $1.slots.count }
    guard let own = token.view.last, own.sequence == token.sequence,
      own.slots.upperBound == token.slot + 1, count <= contextLength, token.path.isEmpty
    else {
      throw fault("position \(token.position) sees \(count) tokens that do not end with itself")
    }
    var tokens: [Int32] = []
    for segment in token.view {
      guard segment.queryPosition == count - 1 - tokens.count + segment.slots.lowerBound else {
        throw fault("slots \(segment.slots) are seen from \(segment.queryPosition) of \(count)")
      }
      guard tables.indices.contains(segment.sequence),
        (segment.slots.upperBound - 1) / pageTokens < tables[segment.sequence].count
      else { throw fault("slots \(segment.slots) of sequence \(segment.sequence) have no page") }
      for slot in segment.slots {
        let page = tables[segment.sequence][slot / pageTokens]
        let token = storage.pages[Int(page)][slot % pageTokens]
        guard token != SimulatedBackend.blank else {
          throw fault("slot \(slot) of sequence \(segment.sequence) is seen and was never written")
        }
        tokens.append(token)
      }
    }
    return tokens
  }

  private func check(_ batch: ForwardBatch, _ storage: Storage) throws(EngineError) {
    guard batch.tokens.count <= maximumBatchTokens else {
      throw fault("\(batch.tokens.count) tokens, more than \(maximumBatchTokens)")
    }
    var writers: [PageID: Int] = [:]
    var last: [Int: Int] = [:]
    for token in batch.tokens {
      guard batch.sequences.indices.contains(token.sequence) else {
        throw fault("sequence \(token.sequence) of \(batch.sequences.count)")
      }
      let table = batch.sequences[token.sequence]
      guard token.position >= 0, token.position < contextLength else {
        throw fault("position \(token.position) in a context of \(contextLength)")
      }
      guard
        (token.path + [token.position - token.path.count, 0]).allSatisfy({
          $0 / pageTokens < table.count
        })
      else {
        throw fault("position \(token.position) has no page")
      }
      guard table.allSatisfy({ $0 >= 0 && Int($0) < storage.pages.count }) else {
        throw fault("a page that was never reserved")
      }
      // A node's slot follows the slot before it, whatever its position.
      if let previous = last[token.sequence], token.slot != previous + 1 {
        throw fault("slot \(token.slot) after \(previous) in one sequence")
      }
      guard token.position <= token.slot, token.path.count <= token.position + 1 else {
        throw fault("position \(token.position) in slot \(token.slot) by path \(token.path)")
      }
      last[token.sequence] = token.slot
      let page = table[token.slot / pageTokens]
      if let other = writers[page], other != token.sequence {
        throw fault("two sequences write page \(page)")
      }
      writers[page] = token.sequence
    }
  }

  // MARK: Pages of prompts for other prompts

  /// Pages of equal worlds are equal: nothing but tokens is in them.
  public var prefixIdentity: String? { name }

  public var prefixPageBytes: Int { 4 * pageTokens }

  public func takePage(from source: PageID, to target: PageID) {
    copyPage(from: source, to: target, positions: pageTokens)
  }

  public func pageBytes(_ page: PageID) throws(EngineError) -> [UInt8] {
    storage.withLock { storage in
      storage.pages[Int(page)].flatMap { token in
        (0..<4).map { UInt8(truncatingIfNeeded: token >> (8 * $0)) }
      }
    }
  }

  public func setPage(_ page: PageID, to bytes: [UInt8]) throws(EngineError) {
    guard bytes.count == prefixPageBytes else {
      throw EngineError(.data, "\(bytes.count) bytes for a page of \(prefixPageBytes)")
    }
    storage.withLock { storage in
      storage.pages[Int(page)] = (0..<pageTokens).map { slot in
        Int32(
          bitPattern: (0..<4).reduce(UInt32(0)) {
            $0 | UInt32(bytes[4 * slot + $1]) << UInt32(8 * $1)
          })
      }
    }
  }

  private func fault(_ text: String) -> EngineError {
    EngineError(.backend, "\(name) was given a batch that breaks the contract: \(text)")
  }
}
