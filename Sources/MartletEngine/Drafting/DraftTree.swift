import MartletModel

/// Tokens guessed to follow a lane's last token: a tree whose nodes are processed with it in one
/// pass, and from which drawn tokens then take one way down.
///
/// Nodes lie in the slots after the lane's tokens, each path of best children in a row, so that the
/// likeliest way down is where plain decoding would have put it and needs no moving.
struct DraftTree {
  struct Node {
    let token: Token
    /// Index of the parent; -1 for the lane's last token.
    let parent: Int
    /// Its place in the sequence.
    let position: Int
    /// Where its keys and values are stored.
    let slot: Int
    /// The slots of its ancestors and itself, from the first that is not at its own position; empty
    /// when all are.
    let path: [Int]
    /// Its row of the pass's logits, and a copy of it once that was overwritten.
    var row: Int?
    var logits: [Float]?
  }

  private(set) var nodes: [Node] = []
  /// What the children of a node were drawn from, by node, -1 for the lane's last token.
  private var laws: [Int: DraftLaw] = [:]
  /// The node whose token the lane ends with; -1 before the first.
  private var cursor = -1
  /// Whose it is, and in which pass it was processed.
  var origin: (path: BranchPath, forward: Int) = (.root, 0)
  /// How many of its tokens were drawn.
  private var accepted = 0

  /// What became of it.
  var event: EngineTraceEvent.Kind {
    .drafted(
      path: origin.path, forward: origin.forward, nodes: nodes.count, accepted: accepted)
  }

  /// A tree of nodes named by the index of their parent, before them in the list. `probabilities`
  /// are what the order of slots goes by. `start` is the position after the lane's last token.
  init(
    tokens: [Token], parents: [Int], probabilities: [Double], start: Int,
    laws: [Int: DraftLaw] = [:]
  ) {
    var children = [[Int]](repeating: [], count: tokens.count + 1)
    for (index, parent) in parents.enumerated() { children[parent + 1].append(index) }
    nodes.reserveCapacity(tokens.count)
    var places = [Int](repeating: -1, count: tokens.count)
    // Depth first, likeliest child first; the stack's end is taken next.
    func pending(_ siblings: [Int]) -> [Int] {
      siblings.sorted { (probabilities[$0], $1) < (probabilities[$1], $0) }
    }
    var stack = pending(children[0])
    while let index = stack.popLast() {
      let parent = parents[index] < 0 ? -1 : places[parents[index]]
      let position = parent < 0 ? start : nodes[parent].position + 1
      let slot = start + nodes.count
      let above = parent < 0 ? [] : nodes[parent].path
      places[index] = nodes.count
      nodes.append(
        Node(
          token: tokens[index], parent: parent, position: position, slot: slot,
          path: above.isEmpty && slot == position ? [] : above + [slot]))
      stack += pending(children[index + 1])
    }
    for (parent, law) in laws { self.laws[parent < 0 ? -1 : places[parent]] = law }
  }

  /// Says which rows of the pass's logits the nodes have: from `first` on.
  mutating func setRows(from first: Int) {
    for index in nodes.indices { nodes[index].row = first + index }
  }

  var hasLaws: Bool { !laws.isEmpty }

  /// What was guessed to follow the lane's last token: drawn from a law, repetitions included, or
  /// chosen in some other way.
  var guessed: (tokens: [Token], law: [Float]?) {
    if let law = laws[cursor] { return (law.tokens, law.probabilities) }
    return (nodes.filter { $0.parent == cursor }.map(\.token), nil)
  }

  /// Goes down to the child with `token`; nil, and no change, if it was not guessed.
  mutating func follow(_ token: Token) -> Node? {
    for index in max(0, cursor)..<nodes.count
    where nodes[index].parent == cursor && nodes[index].token == token {
      cursor = index
      accepted += 1
      return nodes[index]
    }
    return nil
  }

  /// Copies the rows that can still be reached out of the buffer that the next pass overwrites.
  mutating func keepRows(_ row: (Int) -> [Float]) {
    var isBelow = [Bool](repeating: false, count: nodes.count)
    for index in nodes.indices {
      let parent = nodes[index].parent
      isBelow[index] = parent == cursor || (parent >= 0 && isBelow[parent])
      guard isBelow[index], let source = nodes[index].row else { continue }
      nodes[index].row = nil
      nodes[index].logits = row(source)
    }
  }

  /// Whether nothing was guessed after the lane's last token.
  var isSpent: Bool { !nodes.contains { $0.parent == cursor } }
}
