/// A prompt of a run, as the holder of pages: all lanes that grow from it hold a page once, and two
/// prompts of one run that begin alike hold each its own, whether or not that is one page in memory.
final class PromptTree {
  let run: RunState
  /// How many pages of the prompt were handed to the store.
  var pagesGiven = 0

  init(_ run: RunState) { self.run = run }
}

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
  private var owners: [PromptTree?] = []
  /// Whether nothing but guesses is in it yet: such a page counts apart.
  private var guessed: [Bool] = []
  private var free: [PageID] = []
  /// Who holds a page that is kept beyond runs, each with their references; nil for other pages, which
  /// belong to their owner.
  private var holders: [[Holder]?] = []
  /// Pages that runs hold.
  private(set) var inUse = 0
  private(set) var peak = 0
  /// Pages that nothing but the store holds.
  private(set) var stored = 0
  /// What is stored.
  var prefixes = PrefixTree()

  private struct Holder {
    let tree: PromptTree
    var references: Int32
  }

  init(backend: any Backend, byteLimit: Int) {
    self.backend = backend
    limit = min(byteLimit / max(1, backend.bytesPerPage), Int(PageID.max))
  }

  /// A page with one reference, counted for the run of `tree`; `forGuesses` apart from those of its tokens.
  ///
  /// Called on the driver thread.
  mutating func allocate(
    for tree: PromptTree, forGuesses: Bool = false
  ) throws(PageShortage) -> PageID {
    let run = tree.run
    guard hasRoom(run) else { throw .ceiling }
    if free.isEmpty { try growOrReclaim() }
    let page = free.removeLast()
    references[Int(page)] = 1
    owners[Int(page)] = tree
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
    owners[Int(page)]?.run.guessPageReturned()
    owners[Int(page)]?.run.pageTaken()
  }

  /// Whether a run may hold one page more.
  func hasRoom(_ run: RunState) -> Bool {
    run.kvPageLimit.map { run.statistics.kvPages + run.statistics.draftKVPages < $0 } ?? true
  }

  mutating func retain(_ page: PageID, for tree: PromptTree) {
    references[Int(page)] += 1
    guard let held = holders[Int(page)] else { return }
    if let place = held.firstIndex(where: { $0.tree === tree }) {
      holders[Int(page)]![place].references += 1
      return
    }
    if held.isEmpty {
      stored -= 1
      inUse += 1
      peak = max(peak, inUse)
    }
    holders[Int(page)]!.append(Holder(tree: tree, references: 1))
    tree.run.pageTaken()
  }

  mutating func release(_ page: PageID, for tree: PromptTree) {
    references[Int(page)] -= 1
    if holders[Int(page)] != nil {
      leave(page, tree)
      return
    }
    guard references[Int(page)] == 0 else { return }
    free.append(page)
    inUse -= 1
    if guessed[Int(page)] {
      owners[Int(page)]?.run.guessPageReturned()
    } else {
      owners[Int(page)]?.run.pageReturned()
    }
    owners[Int(page)] = nil
  }

  private mutating func leave(_ page: PageID, _ tree: PromptTree) {
    guard let place = holders[Int(page)]!.firstIndex(where: { $0.tree === tree }) else {
      preconditionFailure("page \(page) was returned by a prompt that does not hold it")
    }
    holders[Int(page)]![place].references -= 1
    guard holders[Int(page)]![place].references == 0 else { return }
    holders[Int(page)]!.remove(at: place)
    tree.run.pageReturned()
    guard holders[Int(page)]!.isEmpty else { return }
    inUse -= 1
    stored += 1
    freeIfUnheld(page)
  }

  /// Keeps a page that a run holds beyond that run.
  mutating func hold(_ page: PageID) {
    if holders[Int(page)] == nil {
      holders[Int(page)] = owners[Int(page)].map {
        [Holder(tree: $0, references: references[Int(page)])]
      }
      owners[Int(page)] = nil
    }
    references[Int(page)] += 1
  }

  /// Undoes one ``hold(_:)``.
  mutating func letGo(_ page: PageID) {
    references[Int(page)] -= 1
    freeIfUnheld(page)
  }

  private mutating func freeIfUnheld(_ page: PageID) {
    guard references[Int(page)] == 0 else { return }
    holders[Int(page)] = nil
    stored -= 1
    free.append(page)
  }

  /// Whether the store is all that holds a page, by one reference.
  func isHeldAlone(_ page: PageID) -> Bool {
    references[Int(page)] == 1 && holders[Int(page)]?.isEmpty == true
  }

  /// Up to `count` pages that count for nobody, fewer near the ceiling: for measuring. Called on the
  /// driver thread.
  mutating func takeScratch(_ count: Int) -> [PageID] {
    while free.count < count {
      do throws(PageShortage) {
        try growOrReclaim()
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

  /// Whether more than one lane holds a page.
  func isSharedByLanes(_ page: PageID) -> Bool {
    holders[Int(page)].map { $0.reduce(0) { $0 + $1.references } > 1 } ?? isShared(page)
  }

  private mutating func growOrReclaim() throws(PageShortage) {
    do throws(PageShortage) {
      try grow()
    } catch {
      guard reclaim() else { throw error }
    }
  }

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
    holders.append(contentsOf: repeatElement(nil, count: wanted - have))
    guessed.append(contentsOf: repeatElement(false, count: wanted - have))
    // Lowest id on top.
    free.append(contentsOf: (have..<wanted).reversed().map { PageID($0) })
  }
}
