import MartletModel

/// Pages that are kept beyond the runs that filled them.
///
/// A page of the store counts for every prompt that holds it, as if that prompt's run had filled it: so
/// what a run may hold, and what it says it held, do not depend on what was stored. Pages that nothing but the
/// store holds count for nobody, and go when a run needs a page.
extension PagePool {
  /// Keeps pages of the first blocks of `tokens`, which runs hold. At most `most` pages stay; the least
  /// recently used go.
  mutating func keepPrefix(
    _ tokens: [Token], pages: ArraySlice<PageID>, pageTokens: Int, most: Int
  ) {
    for page in prefixes.add(tokens, pageTokens: pageTokens, pages: pages) { hold(page) }
    while prefixes.count > most, let page = prefixes.removeOldest() { letGo(page) }
  }

  /// Pages that hold what `tokens` begins with.
  mutating func matchPrefix(_ tokens: [Token], pageTokens: Int, most: Int) -> [PageID] {
    prefixes.match(tokens, pageTokens: pageTokens, most: most)
  }

  /// Gives up a page that nothing but the store holds. False where there is none.
  mutating func reclaim() -> Bool {
    // Taken out meanwhile, since the question is about this pool.
    var tree = PrefixTree()
    swap(&tree, &prefixes)
    let page = tree.removeOldest { isHeldAlone($0) }
    prefixes = tree
    guard let page else { return false }
    letGo(page)
    return true
  }

  /// Gives up all that is stored.
  mutating func forgetPrefixes() {
    for page in prefixes.removeAll() { letGo(page) }
  }
}
