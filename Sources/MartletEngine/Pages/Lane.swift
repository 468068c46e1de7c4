import MartletModel

/// A sequence of tokens whose keys and values are stored, or are still to be: the unit of work of
/// the scheduler.
///
/// A branch owns one lane. When a branch is forked, its lane becomes the common `base` of the
/// branch and its children, each with a fresh lane that has no pages yet. The base processes what
/// is left of the common tokens once, and keeps the row of logits after the last of them; each
/// member then adopts the base's page table (references only) and draws its own next token from
/// that one row. So forking a prompt n ways before it was prefilled prefills it once, and forking a
/// branch whose last token is still to be processed costs one row of logits, not n. Bases chain,
/// and a base goes when its last member has left it. Used with the engine's lock held.
final class Lane {
  let run: RunState
  /// What it holds pages as.
  let tree: PromptTree
  /// How many of its tokens are its prompt.
  let promptCount: Int
  /// All tokens, prompt included.
  var tokens: [Token]
  /// Stands for them in a run's log.
  var contextKey = ContextKey()
  /// A lane whose tokens begin this one's and whose pages are still to be adopted. While it is set
  /// this lane has no pages.
  var base: Lane?
  /// Lanes whose `base` this is.
  var members = 0
  /// Whether a branch owns it; otherwise it lives as long as it has members.
  var isOwned: Bool
  /// The page table: as many pages as `processed` positions and a draft need.
  var pages: [PageID] = []
  /// Positions whose keys and values are stored.
  var processed = 0
  /// Logits after the last token, kept because they were not used at once.
  var logits: [Float]?
  /// The row of the present logits buffer that holds them, while a pass is being settled.
  var freshRow: Int?
  /// The row that guides the choice from these logits, where that comes with them (``Guidance``); kept
  /// and found like them.
  var guide: [Float]?
  var guideRow: Int?
  /// What was guessed to follow and is processed already, in slots behind `processed`. Its pages are
  /// in the table; a call that shortens the table ends it.
  var draft: DraftTree?
  /// Whether its logits are of an accepted guess.
  var isAhead = false
  /// Positions below this have keys and values that their tokens alone do not give again, because the text
  /// that they were computed after was dropped (``Branch/drop(generated:following:)``).
  var irreplaceable = 0
  /// Changes when tokens are removed, so that a pass in progress does not count for them.
  var revision = 0
  /// The pass that last served it, for fairness, or last used its logits.
  var lastServed = 0
  /// Whether pages of its prompt were looked for among those that are kept.
  var hasSought = false
  /// Index of its work in the pass being gathered.
  var workIndex = -1
  var workTick = -1

  /// A lane on a prompt.
  init(run: RunState, prompt: [Token]) {
    self.run = run
    tree = PromptTree(run)
    promptCount = prompt.count
    tokens = prompt
    isOwned = true
  }

  /// A lane that begins as `base`.
  init(on base: Lane) {
    run = base.run
    tree = base.tree
    promptCount = base.promptCount
    tokens = base.tokens
    contextKey = base.contextKey
    self.base = base
    isOwned = true
    base.members += 1
  }

  var isAlive: Bool { isOwned || members > 0 }
  var hasLogits: Bool { logits != nil || freshRow != nil }

  /// Ends its draft, and records what came of it.
  func endDraft() {
    guard let ended = draft else { return }
    draft = nil
    run.record(ended.event)
  }

  func dropLogits() {
    logits = nil
    freshRow = nil
    guide = nil
    guideRow = nil
    isAhead = false
  }
}

/// What lanes do with the pool's pages.
extension PagePool {
  /// The number of pages that hold `positions` positions.
  static func pages(for positions: Int, pageTokens: Int) -> Int {
    (positions + pageTokens - 1) / pageTokens
  }

  /// The lane that must work before `lane` is ready: itself, a base, or nil when it is ready.
  /// `needsLogits` says whether the logits after its last token are wanted. Adopts finished bases
  /// on the way.
  mutating func nextWork(
    _ lane: Lane, needsLogits: Bool, pageTokens: Int
  ) -> (lane: Lane, needsLogits: Bool)? {
    if let base = lane.base {
      let samePoint = base.tokens.count == lane.tokens.count
      let wants = needsLogits && samePoint
      if let work = nextWork(base, needsLogits: wants, pageTokens: pageTokens) { return work }
      adopt(lane, base)
    }
    if lane.processed == lane.tokens.count && needsLogits && !lane.hasLogits {
      // The row was not kept: the last token is processed again.
      setProcessed(lane, lane.tokens.count - 1, pageTokens: pageTokens)
    }
    return lane.processed < lane.tokens.count ? (lane, needsLogits) : nil
  }

  private mutating func adopt(_ lane: Lane, _ base: Lane) {
    if base.members == 1 && !base.isOwned {
      lane.pages = base.pages
      base.pages = []
    } else {
      lane.pages = base.pages
      for page in lane.pages { retain(page, for: lane.tree) }
    }
    lane.processed = base.processed
    lane.irreplaceable = base.irreplaceable
    if base.tokens.count == lane.tokens.count {
      lane.logits = base.logits
      lane.freshRow = base.freshRow
      lane.guide = base.guide
      lane.guideRow = base.guideRow
    }
    leaveBase(lane)
  }

  /// Lowers the number of processed positions and returns the pages behind it.
  mutating func setProcessed(_ lane: Lane, _ positions: Int, pageTokens: Int) {
    lane.endDraft()
    lane.processed = positions
    let keep = PagePool.pages(for: positions, pageTokens: pageTokens)
    while lane.pages.count > keep { release(lane.pages.removeLast(), for: lane.tree) }
    if positions == 0 { lane.hasSought = false }
  }

  /// Cuts a lane to its first `count` tokens.
  mutating func truncate(_ lane: Lane, to count: Int, pageTokens: Int) {
    lane.revision += 1
    lane.dropLogits()
    lane.tokens.removeLast(lane.tokens.count - count)
    lane.contextKey.cut(to: count, promptCount: lane.promptCount)
    lane.irreplaceable = min(lane.irreplaceable, count)
    guard lane.base != nil else {
      setProcessed(lane, min(lane.processed, count), pageTokens: pageTokens)
      return
    }
    var base = lane.base
    while let longer = base, longer.tokens.count > count, longer.base != nil { base = longer.base }
    guard let base else { return }
    base.members += 1
    leaveBase(lane)
    if base.tokens.count <= count {
      lane.base = base
      return
    }
    lane.processed = min(base.processed, count)
    lane.irreplaceable = min(base.irreplaceable, lane.processed)
    let keep = PagePool.pages(for: lane.processed, pageTokens: pageTokens)
    lane.pages = Array(base.pages.prefix(keep))
    for page in lane.pages { retain(page, for: lane.tree) }
    base.members -= 1
    dropIfUnused(base)
  }

  /// Makes pages of the positions `lane.processed ..< end` its own to write: copies a shared page
  /// before it is written, adds new ones. Called on the driver thread.
  ///
  /// Pages of positions that are but guessed (`forGuesses`) count apart from those of tokens, until
  /// they are prepared for tokens too. Throws why there is no page; then the lane is as before.
  /// Returns the copies made.
  mutating func prepare(
    _ lane: Lane, upTo end: Int, backend: any Backend, forGuesses: Bool = false
  ) throws(PageShortage) -> Int {
    let pageTokens = backend.pageTokens
    var copies = 0
    let first = lane.processed / pageTokens
    if first < lane.pages.count, isShared(lane.pages[first]) {
      let page = try allocate(for: lane.tree)
      backend.copyPage(
        from: lane.pages[first], to: page, positions: lane.processed % pageTokens)
      release(lane.pages[first], for: lane.tree)
      lane.pages[first] = page
      copies = 1
    }
    let needed = PagePool.pages(for: end, pageTokens: pageTokens)
    while lane.pages.count < needed {
      do throws(PageShortage) {
        lane.pages.append(try allocate(for: lane.tree, forGuesses: forGuesses))
      } catch {
        setProcessed(lane, lane.processed, pageTokens: pageTokens)
        throw error
      }
    }
    if !forGuesses { keepPages(lane, upTo: end, pageTokens: pageTokens) }
    return copies
  }

  /// Counts the pages of the first `end` positions as pages of tokens.
  mutating func keepPages(_ lane: Lane, upTo end: Int, pageTokens: Int) {
    // Guessed pages are the last ones, and few.
    var index = min(PagePool.pages(for: end, pageTokens: pageTokens), lane.pages.count) - 1
    while index >= 0, isGuessed(lane.pages[index]) {
      keep(lane.pages[index])
      index -= 1
    }
  }

  /// Returns the pages at the end that no other lane has, and what was kept of its logits. What is
  /// missing is processed again when the lane goes on. Gives the number of pages. Pages that cannot be
  /// had again stay.
  mutating func demote(_ lane: Lane, pageTokens: Int) -> Int {
    lane.dropLogits()
    guard lane.base == nil else { return 0 }
    var kept = lane.pages.count
    let needed = PagePool.pages(for: lane.irreplaceable, pageTokens: pageTokens)
    while kept > needed, !isSharedByLanes(lane.pages[kept - 1]) { kept -= 1 }
    let returned = lane.pages.count - kept
    lane.revision += 1
    setProcessed(lane, min(lane.processed, kept * pageTokens), pageTokens: pageTokens)
    return returned
  }

  /// How many pages of tokens a lane holds or will adopt.
  func pageCount(_ lane: Lane) -> Int {
    if let base = lane.base { return pageCount(base) }
    return lane.pages.count - lane.pages.reversed().prefix(while: isGuessed).count
  }

  /// Gives a branch's lane up.
  mutating func drop(_ lane: Lane) {
    lane.isOwned = false
    dropIfUnused(lane)
  }

  private mutating func dropIfUnused(_ lane: Lane) {
    guard !lane.isAlive else { return }
    lane.revision += 1
    lane.endDraft()
    lane.dropLogits()
    while let page = lane.pages.popLast() { release(page, for: lane.tree) }
    leaveBase(lane)
  }

  private mutating func leaveBase(_ lane: Lane) {
    guard let base = lane.base else { return }
    lane.base = nil
    base.members -= 1
    dropIfUnused(base)
  }
}
