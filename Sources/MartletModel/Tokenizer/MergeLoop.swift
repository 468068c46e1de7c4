import HeapModule

/// Says whether two neighbouring symbols may become one.
protocol SymbolMerger {
  /// The merge of two adjacent symbols: its priority (the smallest goes first) and the piece it
  /// makes, or nil. `UInt32.max` is not a priority.
  func merge(_ left: MergeSymbol, _ right: MergeSymbol) -> (priority: UInt32, piece: Int32)?
}

/// A stretch of text during merging: its piece and its bytes.
struct MergeSymbol {
  /// The tokenizer's number for it, -1 for none.
  var piece: Int32
  var start: Int32
  var end: Int32
}

/// Merges neighbours, best priority first and leftmost among equals, until none may merge.
///
/// This order is what byte-level BPE ("Neural Machine Translation of Rare Words with Subword
/// Units") and SentencePiece's BPE share. Few symbols are searched directly; many go through a
/// heap, so n symbols cost O(n log n) whatever they are. Buffers are kept between words.
struct MergeLoop {
  var symbols: [MergeSymbol] = []

  private static let direct = 24
  private static let none = UInt32.max
  /// The merge of symbol i with the one after it.
  private var priorities: [UInt32] = []
  private var merged: [Int32] = []
  private var next: [Int32] = []
  private var previous: [Int32] = []

  /// Merges `symbols` in place.
  mutating func run(_ merger: some SymbolMerger) {
    guard symbols.count > 1 else { return }
    if symbols.count <= Self.direct {
      runDirect(merger)
    } else {
      runHeap(merger)
    }
  }

  private mutating func rank(_ left: Int, _ right: Int, _ merger: some SymbolMerger) {
    if let found = merger.merge(symbols[left], symbols[right]) {
      priorities[left] = found.priority
      merged[left] = found.piece
    } else {
      priorities[left] = Self.none
    }
  }

  private mutating func prepare(_ merger: some SymbolMerger) {
    let count = symbols.count
    if priorities.count < count {
      priorities = [UInt32](repeating: Self.none, count: count)
      merged = [Int32](repeating: -1, count: count)
    }
    for index in 0..<count - 1 { rank(index, index + 1, merger) }
    priorities[count - 1] = Self.none
  }

  private mutating func runDirect(_ merger: some SymbolMerger) {
    prepare(merger)
    while true {
      var best = Self.none
      var at = -1
      for index in 0..<symbols.count - 1 where priorities[index] < best {
        best = priorities[index]
        at = index
      }
      guard at >= 0 else { return }
      symbols[at].piece = merged[at]
      symbols[at].end = symbols[at + 1].end
      symbols.remove(at: at + 1)
      for index in at + 1..<symbols.count {
        priorities[index] = priorities[index + 1]
        merged[index] = merged[index + 1]
      }
      if at + 1 < symbols.count {
        rank(at, at + 1, merger)
      } else {
        priorities[at] = Self.none
      }
      if at > 0 { rank(at - 1, at, merger) }
    }
  }

  private mutating func runHeap(_ merger: some SymbolMerger) {
    prepare(merger)
    let count = symbols.count
    next = (0..<count).map { $0 + 1 < count ? Int32($0 + 1) : -1 }
    previous = (0..<count).map { Int32($0 - 1) }
    // Priority, then position: equal priorities pop leftmost first. An entry is stale when the
    // symbol's merge is no longer of that priority.
    var queue = Heap<UInt64>()
    queue.insert(
      contentsOf: (0..<count).lazy.filter { [priorities] in priorities[$0] != Self.none }
        .map { [priorities] in UInt64(priorities[$0]) << 32 | UInt64($0) })
    while let entry = queue.popMin() {
      let left = Int(entry & 0xffff_ffff)
      guard priorities[left] == UInt32(entry >> 32) else { continue }
      let right = Int(next[left])
      symbols[left].piece = merged[left]
      symbols[left].end = symbols[right].end
      priorities[right] = Self.none
      let after = Int(next[right])
      next[left] = Int32(after)
      if after >= 0 {
        previous[after] = Int32(left)
        rank(left, after, merger)
        push(left, &queue)
      } else {
        priorities[left] = Self.none
      }
      let before = Int(previous[left])
      if before >= 0 {
        rank(before, left, merger)
        push(before, &queue)
      }
    }
    var kept = 0
    var index = 0
    while index >= 0 {
      symbols[kept] = symbols[index]
      kept += 1
      index = Int(next[index])
    }
    symbols.removeSubrange(kept...)
  }

  private func push(_ index: Int, _ queue: inout Heap<UInt64>) {
    guard priorities[index] != Self.none else { return }
    queue.insert(UInt64(priorities[index]) << 32 | UInt64(index))
  }
}
