import MartletModel

/// Pages of prompts that earlier runs read, or that files hold. On the driver thread, with the lock held
/// but where it is said.
extension EngineCore {
  /// Files are written so many bytes at a time, between passes.
  private static let bytesAtOnce = 8 << 20

  /// Gives lanes that are to be processed from their first token the pages of their prompt that are
  /// there. Lets go of the lock while pages are copied or read.
  func seekPrefixes() {
    guard let prefixes else { return }
    while let lane = nextToSeek() {
      lane.hasSought = true
      let most = (lane.promptCount - 1) / backend.pageTokens
      guard most > 0 else { continue }
      takeStored(lane, most, prefixes)
      readFiles(lane, most, prefixes)
      repeatPositions(lane, prefixes)
      // What could not be filled is processed: asked once more, the store would give the same answer.
      lane.hasSought = true
      lane.tree.pagesGiven = max(lane.tree.pagesGiven, lane.processed / backend.pageTokens)
      lane.run.statistics.cachedPromptTokens += lane.processed
      totals.cachedPromptTokens += lane.processed
    }
  }

  private func nextToSeek() -> Lane? {
    for run in runs where run.failure == nil {
      for state in run.flights where state.isRunning {
        for wanted in state.lanes {
          var lane = wanted
          while let base = lane.base { lane = base }
          if !lane.hasSought, lane.processed == 0, lane.pages.isEmpty { return lane }
        }
      }
    }
    return nil
  }

  /// Pages in memory: by reference, or copied where an index would be in the way.
  private func takeStored(_ lane: Lane, _ most: Int, _ store: PrefixStore) {
    let size = backend.pageTokens
    let found = pool.matchPrefix(lane.tokens, pageTokens: size, most: most)
    if store.backend.sharesPrefixPages {
      for page in found {
        guard pool.hasRoom(lane.run) else { break }
        pool.retain(page, for: lane.tree)
        lane.pages.append(page)
      }
      lane.processed = lane.pages.count * size
      return
    }
    guard !found.isEmpty else { return }
    // Room for the copies must not be made by giving up what they are of.
    for page in found { pool.hold(page) }
    fill(lane, found.count) { index, page in
      store.backend.takePage(from: found[index], to: page)
      return true
    }
    for page in found { pool.letGo(page) }
  }

  /// Pages in files, behind those in memory.
  private func readFiles(_ lane: Lane, _ most: Int, _ store: PrefixStore) {
    let size = backend.pageTokens
    let have = lane.processed / size
    guard let folder = store.folder, have < most, let identity = prefixIdentity(store) else {
      return
    }
    let tokens = lane.tokens
    lock.unlock()
    let pieces = folder.find(tokens, identity: identity, pageTokens: size, most: most)
    lock.lock()
    guard let end = pieces.last?.pages.upperBound, end > have else { return }
    var place = 0
    fill(lane, end) { index, page in
      while !pieces[place].pages.contains(index) { place += 1 }
      let file = pieces[place].file
      do {
        try store.backend.setPage(page, to: file.page(index))
        return true
      } catch {
        folder.giveUp(
          file.path, error as? PrefixFile.Damage ?? PrefixFile.Damage("\(error)"))
        return false
      }
    }
    guard lane.processed > have * size else { return }
    pool.keepPrefix(
      lane.tokens, pages: lane.pages[..<(lane.processed / size)], pageTokens: size,
      most: store.mostPages)
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
  }

  /// Has the backend see again what it learns from and no page holds.
  private func repeatPositions(_ lane: Lane, _ store: PrefixStore) {
    let positions = store.backend.positionsToRepeat(
      prompt: lane.promptCount, stored: lane.processed)
    guard !positions.isEmpty else { return }
    let (tokens, table, revision) = (lane.tokens, lane.pages, lane.revision)
    lock.unlock()
    var failure: EngineError?
    do throws(EngineError) {
      let most = min(maximumBatch, configuration.prefillChunk)
      for start in stride(from: 0, to: positions.count, by: most) {
        let some = Array(positions[start..<min(positions.count, start + most)])
        try store.backend.repeatPositions(
          some, tokens: some.map { tokens[$0] }, table: table, prompt: lane.promptCount)
      }
    } catch {
      failure = error
    }
    lock.lock()
    guard let failure, lane.revision == revision else { return }
    store.logger.warning("pages of a prompt are not used: \(failure.message)")
    pool.setProcessed(lane, 0, pageTokens: backend.pageTokens)
    lane.hasSought = true
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
