/// A stretch of a sequence as one token sees it that reads several sequences in place.
///
/// Keys and values of slot s were stored by a token at position s. To the token that sees them they
/// lie elsewhere, and what rotary embeddings need is the distance alone: the token's query is rotated
/// to ``queryPosition`` for this stretch, and nothing is copied or rotated again.
public struct ViewSegment: Sendable, Equatable {
  /// Index into ``ForwardBatch/sequences``.
  public var sequence: Int
  /// What is seen of it; never empty.
  public var slots: Range<Int>
  /// Where the token stands, counted as this sequence's slots are: at least `slots.upperBound - 1`.
  public var queryPosition: Int

  /// A stretch that is seen from a position.
  public init(sequence: Int, slots: Range<Int>, queryPosition: Int) {
    self.sequence = sequence
    self.slots = slots
    self.queryPosition = queryPosition
  }

  /// Stretches one after another, as the last token of the last one sees them.
  ///
  /// Neighbours that go on in one sequence are one. Empty where they come to a sequence from its
  /// start: then the token sees what any token of it does.
  static func view(_ stretches: [(sequence: Int, slots: Range<Int>)]) -> [ViewSegment] {
    let end = stretches.reduce(0) { $0 + $1.slots.count }
    var view: [ViewSegment] = []
    var begin = 0
    for (sequence, slots) in stretches where !slots.isEmpty {
      let position = end - 1 - begin + slots.lowerBound
      begin += slots.count
      if let last = view.last, last.sequence == sequence, last.slots.upperBound == slots.lowerBound,
        last.queryPosition == position
      {
        view[view.count - 1].slots = last.slots.lowerBound..<slots.upperBound
      } else {
        view.append(ViewSegment(sequence: sequence, slots: slots, queryPosition: position))
      }
    }
    return view.count == 1 && view[0].slots.lowerBound == 0 ? [] : view
  }
}
