import Martlet
import MartletKernels

/// A share of a context that is a finished span, and what becomes of the text that follows when it is dropped
/// (`Branch.drop`): attention stays exact, to what is left.
public struct DroppedShare: Sendable, Equatable {
  /// Of the context, above 0 and below 1.
  public var share: Double
  public var following: Branch.FollowingText

  public init(share: Double, following: Branch.FollowingText = .kept) {
    self.share = share
    self.following = following
  }

  /// `0.75`, or `again=0.75` where what follows is processed again.
  /// - Throws: `BenchError` naming the word.
  public static func parse(_ text: String) throws(BenchError) -> DroppedShare {
    let isAgain = text.hasPrefix("again=")
    guard let share = Double(isAgain ? String(text.dropFirst("again=".count)) : text),
      share > 0, share < 1
    else {
      throw BenchError(
        .argument,
        "dropped span '\(text)': write a share of the context above 0 and below 1, such as 0.75, or "
          + "again=0.75 where what follows it is to be processed again")
    }
    return DroppedShare(share: share, following: isAgain ? .processedAgain : .kept)
  }

  /// What ``parse(_:)`` reads.
  public var word: String { (following == .kept ? "" : "again=") + "\(share)" }

  /// How rows name it.
  public var name: String {
    (following == .kept ? "dropped=" : "dropped, again=") + "\(share)"
  }
}

extension TransformerBackend {
  /// Takes `span` out of a sequence of `end` positions whose pages are `table`: what follows it moves down, into
  /// the pages of `target`. As the engine does it, without its accounts.
  func shift(
    _ table: [PageID], dropping span: Range<Int>, end: Int, into target: [PageID]
  ) {
    let size = pageTokens
    // Ascending: where pages are the same, what is written over has moved before.
    for position in span.upperBound..<end {
      let to = position - span.count
      shiftPosition(
        from: (table[position / size], position % size), at: position,
        to: (target[to / size], to % size), at: to)
    }
  }
}
