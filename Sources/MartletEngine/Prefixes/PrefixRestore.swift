/// Pages of a prompt that are being filled from pages in memory and from files, some between two passes. On
/// the driver thread.
final class PrefixRestore {
  let lane: Lane
  /// The lane's when this began: cut or given up, it is another.
  let revision: Int
  /// Pages in memory of the prompt's first blocks, to copy; held meanwhile.
  var found: [PageID] = []
  /// Files with the pages behind them.
  var pieces: [PrefixFolder.Piece] = []
  /// Whether a page could not be had or filled, so that what follows is processed.
  var isShort = false
  var isCut = false
  /// Positions that are still to be seen again; nil before that is known.
  var positions: ArraySlice<Int>?

  init(_ lane: Lane) {
    self.lane = lane
    revision = lane.revision
  }

  /// Pages that can be filled.
  var end: Int { max(found.count, pieces.last?.pages.upperBound ?? 0) }

  /// At most `count` of the positions to see again; nil where none is left.
  func nextPositions(_ count: Int) -> [Int]? {
    guard let left = positions, !left.isEmpty else { return nil }
    positions = left.dropFirst(count)
    return Array(left.prefix(count))
  }
}
