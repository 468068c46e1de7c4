import MartletKernels

/// Hidden states of positions, page by page beside the keys and values of the same pages.
///
/// Used on the driver thread alone.
final class HiddenStates {
  private let width: Int
  /// Pages that there is room for.
  private var room: Int
  private var pages: [FloatMatrix?] = []

  init(width: Int, byteLimit: Int) {
    self.width = width
    room = byteLimit / (KVSlab.pageTokens * width * MemoryLayout<Float>.stride)
  }

  /// Keeps a row for a slot of a page; forgoes it where there is no room.
  func store(_ page: PageID, _ slot: Int, from source: FloatMatrix, row: Int) {
    writable(page)?.copyRow(slot, from: source, row: row)
  }

  /// Copies what is kept for a slot. False where nothing is.
  func copy(_ page: PageID, _ slot: Int, into target: FloatMatrix, row: Int) -> Bool {
    guard let kept = kept(page) else { return false }
    target.copyRow(row, from: kept, row: slot)
    return true
  }

  func copyPage(from source: PageID, to target: PageID, positions: Int) {
    guard let kept = kept(source), let copy = writable(target) else { return forget(target) }
    for slot in 0..<positions { copy.copyRow(slot, from: kept, row: slot) }
  }

  func move(from source: (page: PageID, slot: Int), to target: (page: PageID, slot: Int)) {
    guard let kept = kept(source.page), let moved = writable(target.page) else {
      return forget(target.page)
    }
    moved.copyRow(target.slot, from: kept, row: source.slot)
  }

  private func kept(_ page: PageID) -> FloatMatrix? {
    pages.indices.contains(Int(page)) ? pages[Int(page)] : nil
  }

  private func writable(_ page: PageID) -> FloatMatrix? {
    if let kept = kept(page) { return kept }
    guard room > 0, let fresh = try? FloatMatrix(rows: KVSlab.pageTokens, columns: width) else {
      return nil
    }
    room -= 1
    while pages.count <= Int(page) { pages.append(nil) }
    pages[Int(page)] = fresh
    return fresh
  }

  /// What a page held is of other tokens now.
  func forget(_ page: PageID) {
    guard kept(page) != nil else { return }
    pages[Int(page)] = nil
    room += 1
  }
}
