/// Why a page cannot be had.
enum PageShortage: Error {
  /// The configured ceiling is reached.
  case ceiling
  /// The backend, and so the system behind it, refused storage below the ceiling.
  case refused(EngineError)
}

/// Reference-counted pages of keys and values: ids only, the backend holds the storage.
///
/// Storage is reserved from the backend as it is first needed, up to a ceiling in bytes. Used with
/// the engine's lock held.
struct PagePool {
  private let backend: any Backend
  /// The most pages the ceiling allows.
  let limit: Int
  private var references: [Int32] = []
  private var owners: [RunState?] = []
  /// Whether nothing but guesses is in it yet: such a page counts apart.
  private var guessed: [Bool] = []
  private var free: [PageID] = []
  private(set) var inUse = 0
  private(set) var peak = 0

  init(backend: any Backend, byteLimit: Int) {
    self.backend = backend
    limit = min(byteLimit / max(1, backend.bytesPerPage), Int(PageID.max))
  }

  /// A page with one reference, counted for `run`; `forGuesses` apart from those of its tokens.
  ///
  /// Called on the driver thread.
  mutating func allocate(
    for run: RunState, forGuesses: Bool = false
  ) throws(PageShortage) -> PageID {
    if let most = run.kvPageLimit, run.statistics.kvPages + run.statistics.draftKVPages >= most {
      throw .ceiling
    }
    if free.isEmpty { try grow() }
    let page = free.removeLast()
    references[Int(page)] = 1
    owners[Int(page)] = run
    guessed[Int(page)] = forGuesses
    inUse += 1
    peak = max(peak, inUse)
    if forGuesses { run.guessPageTaken() } else { run.pageTaken() }
    return page
  }

  func isGuessed(_ page: PageID) -> Bool { guessed[Int(page)] }

  /// Counts a page that was taken for guesses as one of tokens from now on.
  mutating func keep(_ page: PageID) {
    guard guessed[Int(page)] else { return }
    guessed[Int(page)] = false
    owners[Int(page)]?.guessPageReturned()
    owners[Int(page)]?.pageTaken()
  }

  mutating func retain(_ page: PageID) { references[Int(page)] += 1 }

  mutating func release(_ page: PageID) {
    references[Int(page)] -= 1
    guard references[Int(page)] == 0 else { return }
    free.append(page)
    inUse -= 1
    if guessed[Int(page)] {
      owners[Int(page)]?.guessPageReturned()
    } else {
      owners[Int(page)]?.pageReturned()
    }
    owners[Int(page)] = nil
  }

  /// Up to `count` pages that count for nobody, fewer near the ceiling: for measuring. Called on the
  /// driver thread.
  mutating func takeScratch(_ count: Int) -> [PageID] {
    while free.count < count {
      do throws(PageShortage) {
        try grow()
      } catch {
        break
      }
    }
    let taken = Array(free.suffix(count).reversed())
    free.removeLast(taken.count)
    return taken
  }

  /// Takes back what `takeScratch` gave.
  mutating func returnScratch(_ pages: [PageID]) { free.append(contentsOf: pages.reversed()) }

  func isShared(_ page: PageID) -> Bool { references[Int(page)] > 1 }

  private mutating func grow() throws(PageShortage) {
    let have = references.count
    guard have < limit else { throw .ceiling }
    let wanted = min(limit, have + max(16, have / 4))
    do throws(EngineError) {
      try backend.reservePages(wanted)
    } catch {
      throw .refused(error)
    }
    references.append(contentsOf: repeatElement(0, count: wanted - have))
    owners.append(contentsOf: repeatElement(nil, count: wanted - have))
    guessed.append(contentsOf: repeatElement(false, count: wanted - have))
    // Lowest id on top.
    free.append(contentsOf: (have..<wanted).reversed().map { PageID($0) })
  }
}
