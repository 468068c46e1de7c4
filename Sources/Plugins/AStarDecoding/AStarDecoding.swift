import MartletPlugin

/// A* decoding: the most promising partial answer is continued next, wherever it stands.
///
/// A frontier of partial answers is ordered by f = reward − depth penalty · steps, the reward being the run's
/// scorer on the text so far (a process reward; the paper's estimate of what is still to come). The best is taken
/// off, continued `expand` ways by one step, and its children are judged and put back. The first finished answer
/// to be taken off is the answer: nothing in the frontier promises more. At most `frontier` entries are held; the
/// least promising give their pages back.
///
/// Paper: A*-Decoding: Token-Efficient Inference Scaling (Chatziveroglou, 2025).
struct AStarDecoding: Strategy {
  static let id = "a-star-decoding"

  private let expand: Int
  private let take: Int
  private let frontier: Int
  private let expansions: Int
  private let penalty: Double
  private let delimiter: String

  init(_ run: RunContext) throws {
    expand = try run.component.integer("expand")
    take = try run.component.integer("take")
    frontier = try run.component.integer("frontier")
    expansions = try run.component.integer("expansions")
    penalty = try run.component.number("depth_penalty")
    delimiter = try run.stepDelimiter()
  }

  private struct Node {
    let branch: Branch
    let promise: Double
    let reward: Double
    let depth: Int
    let isFinished: Bool

    /// Of equal promise, finished answers come first, then the deeper ones: nothing is gained by their siblings.
    var rank: (Double, Int, Int) { (promise, isFinished ? 1 : 0, depth) }
  }

  func run(_ run: RunContext) throws {
    var open = [
      Node(branch: try run.root().fork(1)[0], promise: 0, reward: 0, depth: 0, isFinished: false)
    ]
    var done: [Node] = []
    var expanded = 0
    try run.untilRunEnds { () throws(PluginError) in
      while expanded < expansions, !open.isEmpty {
        // Several of the best at once share a forward pass; the order among them is that of their promise.
        var batch: [Node] = []
        while batch.count < take, !open.isEmpty {
          let best = open.indices.max { open[$0].rank < open[$1].rank }!
          let node = open.remove(at: best)
          if node.isFinished {
            done.append(node)
            if batch.isEmpty { return }
            break
          }
          batch.append(node)
        }
        expanded += batch.count
        open += try continuations(of: batch, run)
        for index in Weights.order(open.map(\.promise)).dropFirst(frontier).sorted(by: >) {
          try open.remove(at: index).branch.release()
        }
      }
    }
    // Without a finished one off the frontier, the best that finished, else the most promising.
    let finished = done + open.filter(\.isFinished)
    let pool = finished.isEmpty ? open : finished
    try run.answerBest(of: pool.map(\.branch), scores: pool.map(\.reward))
    try run.component.trace(
      "a_star", ["expanded": .integer(expanded), "finished": .integer(finished.count)])
  }

  private func continuations(
    of nodes: [Node], _ run: RunContext
  ) throws(PluginError) -> [Node] {
    var children: [(branch: Branch, depth: Int)] = []
    for node in nodes {
      for child in try node.branch.fork(expand) { children.append((child, node.depth + 1)) }
      try node.branch.release()
    }
    let end = try run.untilRunEnds { () throws(PluginError) in
      try run.advance(children.map(\.branch), Advance(delimiter: delimiter))
    }
    let rewards = try run.score(children.map(\.branch))
    var result: [Node] = []
    for ((branch, depth), reward) in zip(children, rewards) {
      result.append(
        Node(
          branch: branch, promise: reward - penalty * Double(depth), reward: reward, depth: depth,
          isFinished: try branch.state().isFinished))
    }
    if let end {
      try run.answerBest(of: result.map(\.branch), scores: rewards)
      throw end
    }
    return result
  }
}
