import MartletModel

/// Pages of prompts that earlier runs read, or that files hold. On the driver thread, with the lock held
/// but where it is said.
extension EngineCore {
  /// Files are written, and pages filled, so many bytes at a time, between passes.
  private static let bytesAtOnce = 8 << 20

  /// Finds pages for lanes that are to be processed from their first token, and fills some of what was found:
  /// as much as does not hold up other runs. Lanes that are being filled are in no pass. Lets go of the lock
  /// while pages are copied or read.
  func seekPrefixes() {
    guard let prefixes else { return }
    while true {
      while let lane = nextToSeek() { seek(lane, prefixes) }
      guard let restore = restores.first, !goOn(restore, prefixes) else { return }
      // Who waited for it finds its pages now.
      finish(restore)
    }
  }

  /// Whether a lane waits for pages that are being filled, its own or those it begins with too.
  func isBeingRestored(_ lane: Lane) -> Bool {
    guard !restores.isEmpty else { return false }
    return restores.contains { $0.lane === lane } || waitsForOther(lane)
  }

  /// Whether another lane that begins alike is being filled: then its pages will be there.
  private func waitsForOther(_ lane: Lane) -> Bool {
    guard !lane.hasSought, lane.processed == 0, lane.pages.isEmpty else { return false }
    let size = backend.pageTokens
    return restores.contains { $0.lane.tokens.prefix(size) == lane.tokens.prefix(size) }
  }

  private func nextToSeek() -> Lane? {
    for run in runs where run.failure == nil {
      for state in run.flights where state.isRunning {
        for wanted in state.lanes {
          var lane = wanted
          while let base = lane.base { lane = base }
          if !lane.hasSought, lane.processed == 0, lane.pages.isEmpty, !waitsForOther(lane) {
            return lane
          }
        }
      }
    }
    return nil
  }

  /// Gives a lane the pages of its prompt that may be in several tables, and notes where others are.
  private func seek(_ lane: Lane, _ store: PrefixStore) {
    let size = backend.pageTokens
    lane.hasSought = true
    let most = (lane.promptCount - 1) / size
    guard most > 0 else { return }
    let found = pool.matchPrefix(lane.tokens, pageTokens: size, most: most)
    let restore = PrefixRestore(lane)
    if store.backend.sharesPrefixPages {
      for page in found {
        guard pool.hasRoom(lane.run) else { break }
        pool.retain(page, for: lane.tree)
        lane.pages.append(page)
      }
      lane.processed = lane.pages.count * size
    } else {
      // Copied, where an index would be in the way. Room for copies must not be made by giving up what they
      // are of.
      for page in found { pool.hold(page) }
      restore.found = found
    }
    if let folder = store.folder, found.count < most, let identity = prefixIdentity(store) {
      let tokens = lane.tokens
      lock.unlock()
      restore.pieces = folder.find(tokens, identity: identity, pageTokens: size, most: most)
      lock.lock()
    }
    if restore.end > lane.processed / size || mustRepeat(lane, store) {
      restores.append(restore)
    } else {
      count(lane)
    }
  }

  private func mustRepeat(_ lane: Lane, _ store: PrefixStore) -> Bool {
    !store.backend.positionsToRepeat(prompt: lane.promptCount, stored: lane.processed).isEmpty
  }

  /// Fills some pages, or has some positions seen again. False where there is nothing left to do, or the lane
  /// was given up or cut meanwhile.
  private func goOn(_ restore: PrefixRestore, _ store: PrefixStore) -> Bool {
    let (lane, size) = (restore.lane, backend.pageTokens)
    guard lane.isAlive, lane.revision == restore.revision, lane.run.failure == nil else {
      restore.isCut = true
      return false
    }
    let have = lane.processed / size
    if have < restore.end, !restore.isShort {
      let count = max(1, Self.bytesAtOnce / max(1, store.backend.prefixPageBytes))
      let end = min(restore.end, have + count)
      fill(lane, end) { fillPage($1, from: restore, $0, store) }
      // No room, or damage: what could not be filled is processed.
      restore.isShort = lane.processed < end * size
      restore.isCut = lane.revision != restore.revision
      if !restore.isCut, lane.processed > max(have, restore.found.count) * size {
        pool.keepPrefix(
          lane.tokens, pages: lane.pages[..<(lane.processed / size)], pageTokens: size,
          most: store.mostPages)
      }
      return !restore.isCut
    }
    if restore.positions == nil {
      restore.positions =
        store.backend.positionsToRepeat(
          prompt: lane.promptCount, stored: lane.processed)[...]
    }
    guard let some = restore.nextPositions(min(maximumBatch, configuration.mixedPrefillChunk))
    else { return false }
    return repeatPositions(some, restore, store)
  }

  private func fillPage(
    _ page: PageID, from restore: PrefixRestore, _ index: Int, _ store: PrefixStore
  ) -> Bool {
    if index < restore.found.count {
      store.backend.takePage(from: restore.found[index], to: page)
      return true
    }
    guard let file = restore.pieces.first(where: { $0.pages.contains(index) })?.file else {
      return false
    }
    do {
      try store.backend.setPage(page, to: file.page(index))
      return true
    } catch {
      store.folder?.giveUp(
        file.path, error as? PrefixFile.Damage ?? PrefixFile.Damage("\(error)"))
      return false
    }
  }

  private func finish(_ restore: PrefixRestore) {
    restores.removeAll { $0 === restore }
    for page in restore.found { pool.letGo(page) }
    guard !restore.isCut else { return }
    // What could not be filled is processed: asked once more, the store would give the same answer.
    restore.lane.hasSought = true
    count(restore.lane)
    isWoken = true
  }

  /// Gives up all that is being filled, because the engine stops.
  func abandonRestores() {
    for restore in restores { for page in restore.found { pool.letGo(page) } }
    restores = []
  }

  /// Counts what a lane has got as not read.
  private func count(_ lane: Lane) {
    lane.tree.pagesGiven = max(lane.tree.pagesGiven, lane.processed / backend.pageTokens)
    lane.run.statistics.cachedPromptTokens += lane.processed
    totals.cachedPromptTokens += lane.processed
  }

  /// Takes pages for a lane up to page `end`, has the new ones filled without the lock, in order and as
  /// long as `fillPage` says of an index and its page that it did, and counts them as processed.
  private func fill(_ lane: Lane, _ end: Int, _ fillPage: (Int, PageID) -> Bool) {
    let size = backend.pageTokens
    let first = lane.processed / size
    do throws(PageShortage) {
      _ = try makeWritable(lane, upTo: end * size)
    } catch {
      // The pass that needs the pages will say so.
      return
    }
    let (table, revision) = (lane.pages, lane.revision)
    lock.unlock()
    let filled = (first..<end).prefix { fillPage($0, table[$0]) }.count
    lock.lock()
    // Given up or cut meanwhile: its new pages are returned already.
    guard lane.revision == revision else { return }
    pool.setProcessed(lane, (first + filled) * size, pageTokens: size)
    if first + filled == 0 { lane.hasSought = true }
  }

  /// Has the backend see again what it learns from and no page holds. False where it cannot.
  private func repeatPositions(
    _ positions: [Int], _ restore: PrefixRestore, _ store: PrefixStore
  ) -> Bool {
    let (lane, table) = (restore.lane, restore.lane.pages)
    let tokens = positions.map { lane.tokens[$0] }
    let prompt = lane.promptCount
    lock.unlock()
    var failure: EngineError?
    do throws(EngineError) {
      try store.backend.repeatPositions(positions, tokens: tokens, table: table, prompt: prompt)
    } catch {
      failure = error
    }
    lock.lock()
    restore.isCut = lane.revision != restore.revision
    guard let failure else { return !restore.isCut }
    guard !restore.isCut else { return false }
    store.logger.warning("pages of a prompt are not used: \(failure.message)")
    pool.setProcessed(lane, 0, pageTokens: backend.pageTokens)
    return false
  }

  private func prefixIdentity(_ store: PrefixStore) -> String? {
    store.identity {
      let pages = pool.takeScratch(1)
      defer { pool.returnScratch(pages) }
      return pages.first
    }
  }

  /// Keeps the pages of a lane's prompt that have become full.
  func keepPrefix(of lane: Lane) {
    guard let prefixes else { return }
    let size = backend.pageTokens
    let storable = (lane.promptCount - 1) / size
    let full = min(lane.processed / size, storable)
    guard full > lane.tree.pagesGiven else { return }
    lane.tree.pagesGiven = full
    pool.keepPrefix(
      lane.tokens, pages: lane.pages[..<full], pageTokens: size, most: prefixes.mostPages)
    guard full == storable, let folder = prefixes.folder, let identity = prefixIdentity(prefixes)
    else { return }
    let pages = Array(lane.pages[..<full])
    for page in pages { pool.hold(page) }
    prefixes.writers.append(
      PrefixWriter(
        folder, identity: identity, tokens: lane.tokens, pages: pages, backend: prefixes.backend))
  }

  /// Writes some of what is to be written, without the lock. False where there is nothing.
  func writePrefixes() -> Bool {
    guard let prefixes, let writer = prefixes.writers.first else { return false }
    lock.unlock()
    let isDone = writer.write(bytes: Self.bytesAtOnce)
    lock.lock()
    if isDone, let index = prefixes.writers.firstIndex(where: { $0 === writer }) {
      prefixes.writers.remove(at: index)
      for page in writer.pages { pool.letGo(page) }
    }
    return true
  }

  /// Gives up files that are being written, so that runs have their pages. False where there are none.
  func abandonWriting() -> Bool {
    guard let prefixes, !prefixes.writers.isEmpty else { return false }
    prefixes.logger.info("prompts are not written: their pages are needed")
    for writer in prefixes.writers {
      for page in writer.pages { pool.letGo(page) }
    }
    prefixes.writers = []
    return true
  }
}
