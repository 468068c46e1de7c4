import MartletModel

/// The keys and values that a draft model holds of the sequences it guesses on, in pages of its own.
///
/// A sequence that was forked begins like one that is held already and takes over its pages by
/// reference; what one extends, its siblings do not see. Sequences that were not asked about for long
/// go first when pages run out. On the driver thread only.
struct DraftCache {
  /// What is held of one sequence.
  struct Entry {
    /// The tokens whose keys and values are stored, each at its own position.
    var tokens: [Token]
    var pages: [PageID]
    var lastUsed: Int
  }

  private let backend: any Backend
  private let pageLimit: Int
  private var references: [Int32] = []
  private var free: [PageID] = []
  private var entries: [UInt64: Entry] = [:]
  private var round = 0

  /// An empty cache of at most `byteLimit` bytes.
  init(backend: any Backend, byteLimit: Int) {
    self.backend = backend
    pageLimit = max(1, byteLimit / max(1, backend.bytesPerPage))
  }

  /// Pages in use.
  var pagesInUse: Int { references.count - free.count }

  /// Begins a round: what was asked about before it may go when pages run out.
  mutating func beginRound() { round += 1 }

  /// What is held of a sequence, cut to what its tokens have in common with it.
  mutating func open(_ id: UInt64, tokens: [Token]) -> Entry {
    if entries[id] == nil, let model = nearest(tokens) { share(model, as: id) }
    var entry = entries.removeValue(forKey: id) ?? Entry(tokens: [], pages: [], lastUsed: round)
    let common = Self.commonPrefix(entry.tokens, tokens)
    entry.tokens.removeLast(entry.tokens.count - common)
    entry.lastUsed = round
    return entry
  }

  /// Keeps what is held of a sequence: positions beyond its tokens are free to be overwritten.
  mutating func close(_ id: UInt64, _ entry: Entry) {
    if let old = entries.updateValue(entry, forKey: id) { release(old.pages) }
  }

  /// Pages for `positions` positions of which those from the entry's tokens on are to be written.
  /// False where there are none; the entry is as before then.
  mutating func makeWritable(_ entry: inout Entry, positions: Int) throws(EngineError) -> Bool {
    let size = backend.pageTokens
    let first = entry.tokens.count / size
    let needed = PagePool.pages(for: positions, pageTokens: size)
    // Pages wholly behind the tokens hold nothing; shared ones must not be written.
    while entry.pages.count > needed || entry.pages.count > first + 1,
      let last = entry.pages.last, references[Int(last)] > 1
    {
      release([entry.pages.removeLast()])
    }
    if first < entry.pages.count, references[Int(entry.pages[first])] > 1 {
      guard let page = try allocate() else { return false }
      let shared = entry.pages[first]
      backend.copyPage(from: shared, to: page, positions: entry.tokens.count % size)
      release([shared])
      entry.pages[first] = page
    }
    while entry.pages.count < needed {
      guard let page = try allocate() else { return false }
      entry.pages.append(page)
    }
    return true
  }

  /// Forgets everything.
  mutating func removeAll() {
    for entry in entries.values { release(entry.pages) }
    entries = [:]
  }

  /// Gives up an entry that was opened.
  mutating func drop(_ entry: Entry) { release(entry.pages) }

  private mutating func allocate() throws(EngineError) -> PageID? {
    if free.isEmpty {
      let have = references.count
      if have < pageLimit {
        let wanted = min(pageLimit, have + max(16, have / 4))
        try backend.reservePages(wanted)
        references.append(contentsOf: repeatElement(0, count: wanted - have))
        free.append(contentsOf: (have..<wanted).reversed().map { PageID($0) })
      } else {
        evict()
      }
    }
    guard let page = free.popLast() else { return nil }
    references[Int(page)] = 1
    return page
  }

  /// Lets the sequences go that were not asked about for longest, until a page is free.
  private mutating func evict() {
    let old = entries.filter { $0.value.lastUsed < round }
      .sorted { ($0.value.lastUsed, $0.key) < ($1.value.lastUsed, $1.key) }
    for (id, entry) in old where free.isEmpty {
      entries[id] = nil
      release(entry.pages)
    }
  }

  private mutating func release(_ pages: [PageID]) {
    for page in pages {
      references[Int(page)] -= 1
      if references[Int(page)] == 0 { free.append(page) }
    }
  }

  /// The held sequence that a new one has most in common with, if that is a page or more.
  private func nearest(_ tokens: [Token]) -> UInt64? {
    var best: (id: UInt64, common: Int)?
    for (id, entry) in entries {
      let common = Self.commonPrefix(entry.tokens, tokens)
      if common > best?.common ?? 0 || (common == best?.common && id < best?.id ?? 0) {
        best = (id, common)
      }
    }
    return best?.id
  }

  private mutating func share(_ source: UInt64, as id: UInt64) {
    guard var entry = entries[source] else { return }
    entry.pages = Array(
      entry.pages.prefix(
        PagePool.pages(for: entry.tokens.count, pageTokens: backend.pageTokens)))
    for page in entry.pages { references[Int(page)] += 1 }
    entries[id] = entry
  }

  private static func commonPrefix(_ a: [Token], _ b: [Token]) -> Int {
    a.withUnsafeBufferPointer { a in
      b.withUnsafeBufferPointer { b in
        let most = min(a.count, b.count)
        var count = 0
        while count < most && a[count] == b[count] { count += 1 }
        return count
      }
    }
  }
}
