import MartletKernels

/// A prompt that has gone through all layers, fewer tokens in each stage.
///
/// A stage's layers hold positions in places of their own: those that the last token chose first, in
/// order, then the others in order. So whatever comes back lies where it would lie whoever asked for it.
final class PrunedPrompt {
  struct Stage {
    /// Positions that went on, ascending.
    let kept: [Int]
    /// Where each position of the full pages is stored, as a slot of the sequence.
    let slots: [UInt32]
    /// Positions whose keys and values are there.
    var computed: [Bool]

    init(kept: [Int], of positions: Int) {
      self.kept = kept
      var slots = [UInt32](repeating: 0, count: positions)
      var isKept = [Bool](repeating: false, count: positions)
      for (rank, position) in kept.enumerated() {
        slots[position] = UInt32(rank)
        isKept[position] = true
      }
      var next = kept.count
      for position in 0..<positions where !isKept[position] {
        slots[position] = UInt32(next)
        next += 1
      }
      self.slots = slots
      computed = [Bool](repeating: false, count: positions)
    }
  }

  /// Tokens of the prompt, and positions of its full pages, from where on all stay in their own slots.
  let count: Int
  let body: Int
  var stages: [Stage] = []
  /// Hidden states before each stage's layers.
  var states: [PositionStates]

  init(count: Int, states: PositionStates) {
    self.count = count
    body = Self.body(of: count)
    self.states = [states]
  }

  /// The page with the last token may be processed again.
  static func body(of count: Int) -> Int {
    (count - 1) / KVSlab.pageTokens * KVSlab.pageTokens
  }
}

/// Hidden states of a sequence's positions, page by page.
struct PositionStates {
  var pages: [FloatMatrix?]

  init(pages: [FloatMatrix?]) { self.pages = pages }

  /// Room for `count` positions, taken as they come.
  init(count: Int) {
    pages = Array(repeating: nil, count: (count + KVSlab.pageTokens - 1) / KVSlab.pageTokens)
  }

  mutating func store(
    _ position: Int, from matrix: FloatMatrix, row: Int
  ) throws(KernelError) {
    let (page, slot) = position.quotientAndRemainder(dividingBy: KVSlab.pageTokens)
    if pages[page] == nil {
      pages[page] = try FloatMatrix(rows: KVSlab.pageTokens, columns: matrix.columns)
    }
    pages[page]!.copyRow(slot, from: matrix, row: row)
  }

  func load(_ position: Int, into matrix: FloatMatrix, row: Int) {
    let (page, slot) = position.quotientAndRemainder(dividingBy: KVSlab.pageTokens)
    guard let kept = pages[page] else {
      preconditionFailure("the hidden state of position \(position) was not kept")
    }
    matrix.copyRow(row, from: kept, row: slot)
  }
}
