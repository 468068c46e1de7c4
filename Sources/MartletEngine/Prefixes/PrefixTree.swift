import MartletModel

/// Which page holds a block of tokens behind given blocks: prompts that began alike find each other's
/// pages here.
///
/// A node is one page's tokens behind its parent's; blocks are compared token by token, so a hit is
/// never another text's. Nodes are in order of use, each more recent than those behind it, so that the
/// oldest one without children goes first.
struct PrefixTree {
  private struct Key: Hashable {
    var parent: Int
    var tokens: ArraySlice<Token>
  }

  private struct Node {
    var key: Key
    var page: PageID
    var children = 0
    /// Neighbours in order of use; -1 for none.
    var newer = -1
    var older = -1
  }

  private static let root = -1

  private var nodes: [Node] = []
  private var unused: [Int] = []
  private var index: [Key: Int] = [:]
  private var newest = -1
  private var oldest = -1

  /// Pages in it.
  var count: Int { index.count }

  /// The pages of the longest run of blocks that `tokens` begins with and that is here, at most `most`.
  /// They are in use now.
  mutating func match(_ tokens: [Token], pageTokens: Int, most: Int) -> [PageID] {
    let path = path(tokens, pageTokens: pageTokens, most: most)
    touch(path)
    return path.map { nodes[$0].page }
  }

  /// Adds pages of the first blocks of `tokens`, page i for block i. Where a block is here already, its
  /// page stays. Returns the pages that were added.
  mutating func add(_ tokens: [Token], pageTokens: Int, pages: ArraySlice<PageID>) -> [PageID] {
    var path = path(tokens, pageTokens: pageTokens, most: pages.count)
    var added: [PageID] = []
    for (block, page) in pages.enumerated().dropFirst(path.count) {
      let key = Key(
        parent: path.last ?? Self.root,
        // A copy: a slice would keep the whole prompt.
        tokens: Array(tokens[block * pageTokens..<(block + 1) * pageTokens])[...])
      let node = unused.popLast() ?? nodes.count
      let fresh = Node(key: key, page: page)
      if node == nodes.count { nodes.append(fresh) } else { nodes[node] = fresh }
      index[key] = node
      if let parent = path.last { nodes[parent].children += 1 }
      pushNewest(node)
      path.append(node)
      added.append(page)
    }
    touch(path)
    return added
  }

  /// Takes the least recently used page out that nothing follows and that `canGo`; nil if there is none.
  mutating func removeOldest(where canGo: (PageID) -> Bool = { _ in true }) -> PageID? {
    var node = oldest
    while node >= 0, nodes[node].children > 0 || !canGo(nodes[node].page) {
      node = nodes[node].newer
    }
    guard node >= 0 else { return nil }
    unlink(node)
    index[nodes[node].key] = nil
    if nodes[node].key.parent >= 0 { nodes[nodes[node].key.parent].children -= 1 }
    nodes[node].key.tokens = []
    unused.append(node)
    return nodes[node].page
  }

  /// Takes all pages out.
  mutating func removeAll() -> [PageID] {
    let pages = index.values.map { nodes[$0].page }
    self = PrefixTree()
    return pages
  }

  // MARK: Nodes

  private func path(_ tokens: [Token], pageTokens: Int, most: Int) -> [Int] {
    var path: [Int] = []
    while path.count < min(most, tokens.count / pageTokens) {
      let start = path.count * pageTokens
      let key = Key(parent: path.last ?? Self.root, tokens: tokens[start..<start + pageTokens])
      guard let node = index[key] else { break }
      path.append(node)
    }
    return path
  }

  /// Makes a path the most recent, its beginning most of all.
  private mutating func touch(_ path: [Int]) {
    for node in path.reversed() {
      unlink(node)
      pushNewest(node)
    }
  }

  private mutating func unlink(_ node: Int) {
    let (newer, older) = (nodes[node].newer, nodes[node].older)
    if newer >= 0 { nodes[newer].older = older } else { newest = older }
    if older >= 0 { nodes[older].newer = newer } else { oldest = newer }
    (nodes[node].newer, nodes[node].older) = (-1, -1)
  }

  private mutating func pushNewest(_ node: Int) {
    nodes[node].older = newest
    if newest >= 0 { nodes[newest].newer = node } else { oldest = node }
    newest = node
  }
}
