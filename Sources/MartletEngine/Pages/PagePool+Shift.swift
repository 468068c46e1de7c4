/// Spans that leave the middle of a sequence.
extension PagePool {
  /// Pages of its own for what will move in a lane that loses `span`, in place of shared ones: by index in
  /// its table. On the driver thread.
  ///
  /// Throws why there is none; then nothing was taken.
  mutating func prepareShift(
    _ lane: Lane, dropping span: Range<Int>, pageTokens size: Int
  ) throws(PageShortage) -> [Int: PageID] {
    let first = span.lowerBound
    let moved = lane.tokens.count - 1 - span.upperBound
    guard moved > 0 else { return [:] }
    var fresh: [Int: PageID] = [:]
    for index in first / size...(first + moved - 1) / size where isShared(lane.pages[index]) {
      do throws(PageShortage) {
        fresh[index] = try allocate(for: lane.tree)
      } catch {
        cancelShift(fresh, for: lane.tree)
        throw error
      }
    }
    return fresh
  }

  mutating func cancelShift(_ fresh: [Int: PageID], for tree: PromptTree) {
    for page in fresh.values { release(page, for: tree) }
  }

  /// Takes positions out of a lane that has processed everything but its last token, and has its own page
  /// table: what follows moves down, into pages of its own. The last token is to be processed again.
  mutating func shift(
    _ lane: Lane, dropping span: Range<Int>, into fresh: [Int: PageID], backend: any Backend
  ) {
    let size = backend.pageTokens
    let first = span.lowerBound
    let moved = max(0, lane.tokens.count - 1 - span.upperBound)
    let old = lane.pages
    if let page = fresh[first / size] {
      backend.copyPage(from: old[first / size], to: page, positions: first % size)
    }
    // Ascending: what is written over has moved before.
    for offset in 0..<moved {
      let (from, to) = (span.upperBound + offset, first + offset)
      backend.shiftPosition(
        from: (old[from / size], from % size), at: from,
        to: (fresh[to / size] ?? old[to / size], to % size), at: to)
    }
    lane.revision += 1
    lane.dropLogits()
    for (index, page) in fresh {
      release(lane.pages[index], for: lane.tree)
      lane.pages[index] = page
    }
    lane.tokens.removeSubrange(span)
    lane.contextKey.cut(to: first, promptCount: lane.promptCount)
    lane.irreplaceable = moved > 0 ? first + moved : min(lane.irreplaceable, first)
    setProcessed(lane, min(first + moved, lane.tokens.count - 1), pageTokens: size)
  }

  /// Takes positions out of a lane; what follows is processed again.
  mutating func cutOut(_ lane: Lane, _ span: Range<Int>, pageTokens: Int) {
    let following = lane.tokens[span.upperBound...]
    truncate(lane, to: span.lowerBound, pageTokens: pageTokens)
    lane.tokens += following
  }

  /// Gives a lane on a base a page table of its own, of what the base has processed of all but the last
  /// token.
  mutating func detach(_ lane: Lane, pageTokens: Int) {
    guard lane.base != nil, let last = lane.tokens.last else { return }
    truncate(lane, to: lane.tokens.count - 1, pageTokens: pageTokens)
    lane.tokens.append(last)
  }
}
