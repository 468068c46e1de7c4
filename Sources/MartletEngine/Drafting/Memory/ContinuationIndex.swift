import MartletModel

/// What followed which contexts (``TokenTail/contexts``): for each one seen, the up to four tokens that
/// came next, how often, and with which random numbers. A value; copies share storage until one changes.
///
/// An open-addressing table of 48-byte entries with linear probing. A context is known by its 64-bit
/// hash alone: a wrong match makes a wrong guess, which costs a row of a pass and nothing else. A
/// full table becomes the old generation, which is read but not written, and its predecessor goes:
/// memory is bounded and what was seen lately stays. Observing a token takes O(1): eight probes.
struct ContinuationIndex {
  /// The tokens that followed one context.
  struct Entry {
    fileprivate(set) var tokens = SIMD4<Int32>(repeating: -1)
    fileprivate(set) var counts = SIMD4<UInt16>()
    /// The least and the greatest random number with which each was drawn, in 65,536ths; the least above
    /// the greatest where it was not drawn by one.
    fileprivate(set) var least = SIMD4<UInt16>(repeating: .max)
    fileprivate(set) var greatest = SIMD4<UInt16>()
    fileprivate(set) var key: UInt64 = 0

    /// How often the context was seen, forgotten followers aside.
    @inline(__always)
    var total: Int { Int(counts[0]) + Int(counts[1]) + Int(counts[2]) + Int(counts[3]) }

    /// Counts one more `token`, drawn with `number`; the rarest follower makes room for a fifth.
    @inline(__always)
    fileprivate mutating func count(_ token: Token, _ number: UInt16?) {
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
        least[place] = .max
        greatest[place] = 0
      }
      if let number {
        least[place] = min(least[place], number)
        greatest[place] = max(greatest[place], number)
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

    var isCrowded: Bool { (used + TokenTail.contextCount) * 3 >= entries.count * 2 }

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

  /// Bytes of an entry.
  static let entryBytes = 48
  /// Bytes of the smallest two generations: 48 KiB.
  static let leastBytes = 2 * smallest * entryBytes

  /// An empty index of at most two generations of `limit` entries, a power of two.
  init(limit: Int) {
    precondition(limit >= Self.smallest && limit & (limit - 1) == 0, "a limit of \(limit) entries")
    self.limit = limit
  }

  /// The entry of a context.
  @inline(__always)
  private func entry(_ hash: UInt64) -> Entry? { table.entry(hash) ?? old?.entry(hash) }

  /// What is known of each context; an entry that was never seen is empty.
  @inline(__always)
  func entries(_ contexts: SIMD8<UInt64>) -> InlineArray<8, Entry> {
    var known = InlineArray<8, Entry>(repeating: Entry())
    for index in 0..<TokenTail.suffixes where contexts[index] != 0 {
      guard let entry = entry(contexts[index]) else { break }
      known[index] = entry
    }
    for index in TokenTail.suffixes..<TokenTail.contextCount where contexts[index] != 0 {
      if let entry = entry(contexts[index]) { known[index] = entry }
    }
    return known
  }

  /// Records that `token` came after these contexts, drawn with the random number `number` if with any.
  @inline(__always)
  mutating func observe(_ contexts: SIMD8<UInt64>, _ token: Token, number: UInt16?) {
    if table.isCrowded { makeRoom() }
    for index in 0..<TokenTail.contextCount {
      let hash = contexts[index]
      guard hash != 0 else { continue }
      let place = table.place(of: hash)
      if table.entries[place].key == 0 {
        // What the old generation knew of it comes along.
        if let known = old?.entry(hash) { table.entries[place] = known }
        table.entries[place].key = hash
        table.used += 1
      }
      table.entries[place].count(token, number)
    }
  }

  /// What is known of every context: what the old generation alone knows, then the present one.
  var all: [Entry] {
    (old?.entries ?? []).filter { $0.key != 0 && table.entry($0.key) == nil }
      + table.entries.filter { $0.key != 0 }
  }

  /// Puts in what was known of a context elsewhere.
  mutating func insert(
    _ key: UInt64, _ tokens: SIMD4<Int32>, _ counts: SIMD4<UInt16>, least: SIMD4<UInt16>,
    greatest: SIMD4<UInt16>
  ) {
    if table.isCrowded { makeRoom() }
    let place = table.place(of: key)
    if table.entries[place].key == 0 { table.used += 1 }
    var entry = Entry()
    (entry.key, entry.tokens, entry.counts) = (key, tokens, counts)
    (entry.least, entry.greatest) = (least, greatest)
    table.entries[place] = entry
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
