import MartletKernels

/// Hidden states of positions, page by page beside the keys and values of the same pages.
///
/// Slots are kept one by one: a page whose keys and values came from elsewhere, or were made before anybody
/// asked for states, has those of positions that were processed since. Used on the driver thread alone.
final class HiddenStates {
  private let width: Int
  /// Pages that there is room for.
  private var room: Int
  private var pages: [Page?] = []

  private struct Page {
    let states: FloatMatrix
    /// A bit for each slot that holds a state.
    var filled: UInt32 = 0

    func holds(_ slot: Int) -> Bool { filled >> UInt32(slot) & 1 != 0 }
  }

  init(width: Int, byteLimit: Int) {
    precondition(KVSlab.pageTokens <= UInt32.bitWidth, "a bit per slot")
    self.width = width
    room = byteLimit / (KVSlab.pageTokens * width * MemoryLayout<Float>.stride)
  }

  /// Keeps a row for a slot of a page; forgoes it where there is no room.
  func store(_ page: PageID, _ slot: Int, from source: FloatMatrix, row: Int) {
    guard let states = writable(page) else { return }
    states.copyRow(slot, from: source, row: row)
    pages[Int(page)]!.filled |= 1 << UInt32(slot)
  }

  /// Copies what is kept for a slot. False where nothing is.
  func copy(_ page: PageID, _ slot: Int, into target: FloatMatrix, row: Int) -> Bool {
    guard let kept = kept(page), kept.holds(slot) else { return false }
    target.copyRow(row, from: kept.states, row: slot)
    return true
  }

  func copyPage(from source: PageID, to target: PageID, positions: Int) {
    forget(target)
    guard let kept = kept(source) else { return }
    for slot in 0..<positions where kept.holds(slot) {
      store(target, slot, from: kept.states, row: slot)
    }
  }

  func move(from source: (page: PageID, slot: Int), to target: (page: PageID, slot: Int)) {
    guard let kept = kept(source.page), kept.holds(source.slot) else {
      // What the slot held is of another token now.
      if self.kept(target.page) != nil {
        pages[Int(target.page)]!.filled &= ~(1 << UInt32(target.slot))
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
