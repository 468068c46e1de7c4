import MartletModel

/// What followed which tokens: for every context of 1 to 8 tokens seen, the up to four tokens that
/// came next and how often. A value; copies share storage until one changes.
///
/// An open-addressing table of 32-byte entries with linear probing. A context is known by its 64-bit
/// hash alone: a wrong match makes a wrong guess, which costs a row of a pass and nothing else. A
/// full table becomes the old generation, which is read but not written, and its predecessor goes:
/// memory is bounded and what was seen lately stays. Observing a token takes O(1): six probes.
struct ContinuationIndex {
  /// The tokens that followed one context.
  struct Entry {
    fileprivate(set) var key: UInt64 = 0
    fileprivate(set) var tokens = SIMD4<Int32>(repeating: -1)
    fileprivate(set) var counts = SIMD4<UInt16>()

    /// How often the context was seen, forgotten followers aside.
    @inline(__always)
    var total: Int { Int(counts[0]) + Int(counts[1]) + Int(counts[2]) + Int(counts[3]) }

    /// Counts one more `token`; the rarest follower makes room for a fifth.
    @inline(__always)
    fileprivate mutating func count(_ token: Token) {
      var place = 0
      for i in 0..<4 {
        if tokens[i] == token {
          place = i
          break
        }
        if counts[i] < counts[place] { place = i }
      }
      if tokens[place] != token {
        tokens[place] = token
        counts[place] = 0
      }
      if counts[place] == .max { counts = counts &>> 1 }
      counts[place] += 1
    }
  }

  /// A table that only grows.
  private struct Table {
    var entries: [Entry]
    var used = 0

    init(capacity: Int) { entries = Array(repeating: Entry(), count: capacity) }

    /// Where `key` is, or would be.
    @inline(__always)
    func place(of key: UInt64) -> Int {
      entries.withUnsafeBufferPointer { entries in
        let mask = entries.count - 1
        var place = Int(truncatingIfNeeded: key >> 20) & mask
        while entries[place].key != key && entries[place].key != 0 { place = (place + 1) & mask }
        return place
      }
    }

    @inline(__always)
    func entry(_ key: UInt64) -> Entry? {
      let entry = entries[place(of: key)]
      return entry.key == key ? entry : nil
    }

    var isCrowded: Bool { (used + TokenTail.lengths) * 3 >= entries.count * 2 }

    mutating func grow() {
      var larger = Table(capacity: entries.count * 2)
      for entry in entries where entry.key != 0 {
        larger.entries[larger.place(of: entry.key)] = entry
      }
      larger.used = used
      self = larger
    }
  }

  /// The fewest entries of a generation.
  static let smallest = 512

  private var table = Table(capacity: smallest)
  private var old: Table?
  private let limit: Int

  /// An empty index of at most two generations of `limit` entries, a power of two, of 32 bytes.
  init(limit: Int) {
    precondition(limit >= Self.smallest && limit & (limit - 1) == 0, "a limit of \(limit) entries")
    self.limit = limit
  }

  /// The entry of a context.
  @inline(__always)
  func entry(_ hash: UInt64) -> Entry? { table.entry(hash) ?? old?.entry(hash) }

  /// Records that `token` came after these contexts, and shows what was known of each before.
  @inline(__always)
  mutating func observe(
    _ contexts: SIMD8<UInt64>, _ token: Token, known: (_ length: Int, _ entry: Entry) -> Void
  ) {
    if table.isCrowded { makeRoom() }
    for length in 0..<TokenTail.lengths {
      let hash = contexts[length]
      guard hash != 0 else { return }
      let place = table.place(of: hash)
      var entry = table.entries[place]
      if entry.key == 0 {
        // What the old generation knew of it comes along.
        entry = old?.entry(hash) ?? Entry()
        entry.key = hash
        table.used += 1
      }
      if entry.total > 0 { known(length, entry) }
      entry.count(token)
      table.entries[place] = entry
    }
  }

  /// What is known of every context: what the old generation alone knows, then the present one.
  var all: [Entry] {
    (old?.entries ?? []).filter { $0.key != 0 && table.entry($0.key) == nil }
      + table.entries.filter { $0.key != 0 }
  }

  /// Puts in what was known of a context elsewhere.
  mutating func insert(_ key: UInt64, _ tokens: SIMD4<Int32>, _ counts: SIMD4<UInt16>) {
    if table.isCrowded { makeRoom() }
    let place = table.place(of: key)
    if table.entries[place].key == 0 { table.used += 1 }
    table.entries[place].key = key
    table.entries[place].tokens = tokens
    table.entries[place].counts = counts
  }

  private mutating func makeRoom() {
    if table.entries.count < limit {
      table.grow()
    } else {
      old = table
      table = Table(capacity: Self.smallest)
    }
  }
}
