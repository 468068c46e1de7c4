import MartletKernels

/// Hidden states of positions, page by page beside the keys and values of the same pages.
///
/// A page's slots fill in order, and those from the first gap on are not kept: a page whose keys and values came
/// from elsewhere has none, also where single positions of it are processed again. Used on the driver thread
/// alone.
final class HiddenStates {
  private let width: Int
  /// Pages that there is room for.
  private var room: Int
  private var pages: [Page?] = []

  private struct Page {
    let states: FloatMatrix
    /// Slots from the first on that hold states.
    var filled = 0
  }

  init(width: Int, byteLimit: Int) {
    self.width = width
    room = byteLimit / (KVSlab.pageTokens * width * MemoryLayout<Float>.stride)
  }

  /// Keeps a row for a slot of a page; forgoes it where there is no room.
  func store(_ page: PageID, _ slot: Int, from source: FloatMatrix, row: Int) {
    guard slot <= kept(page)?.filled ?? 0, let states = writable(page) else { return }
    states.copyRow(slot, from: source, row: row)
    pages[Int(page)]!.filled = max(pages[Int(page)]!.filled, slot + 1)
  }

  /// Copies what is kept for a slot. False where nothing is.
  func copy(_ page: PageID, _ slot: Int, into target: FloatMatrix, row: Int) -> Bool {
    guard let kept = kept(page), slot < kept.filled else { return false }
    target.copyRow(row, from: kept.states, row: slot)
    return true
  }

  func copyPage(from source: PageID, to target: PageID, positions: Int) {
    forget(target)
    guard let kept = kept(source) else { return }
    for slot in 0..<min(positions, kept.filled) {
      store(target, slot, from: kept.states, row: slot)
    }
  }

  func move(from source: (page: PageID, slot: Int), to target: (page: PageID, slot: Int)) {
    guard let kept = kept(source.page), source.slot < kept.filled else {
      // What the slot held is of another token now, and so is what comes behind it.
      if let old = self.kept(target.page), target.slot < old.filled {
        pages[Int(target.page)]!.filled = target.slot
      }
      return
    }
    store(target.page, target.slot, from: kept.states, row: source.slot)
  }

  private func kept(_ page: PageID) -> Page? {
    pages.indices.contains(Int(page)) ? pages[Int(page)] : nil
  }

  private func writable(_ page: PageID) -> FloatMatrix? {
    if let kept = kept(page) { return kept.states }
    guard room > 0, let fresh = try? FloatMatrix(rows: KVSlab.pageTokens, columns: width) else {
      return nil
    }
    room -= 1
    while pages.count <= Int(page) { pages.append(nil) }
    pages[Int(page)] = Page(states: fresh)
    return fresh
  }

  /// What a page held is of other tokens now.
  func forget(_ page: PageID) {
    guard kept(page) != nil else { return }
    pages[Int(page)] = nil
    room += 1
  }
}
