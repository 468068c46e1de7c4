import MartletPlugin

/// Adaptive-branching tree search: at every node it is drawn by Thompson sampling whether to go wider, with a new
/// answer, or deeper, with a revision of one that is there.
///
/// Each node holds a whole answer with its score in 0…1. From the root down it is drawn whether to make a new child, from
/// the Beta posterior of the scores of those made here, or to go on beneath one that is there, from that of all scores
/// found beneath; then which child, from that of each child's own score and what was found beneath it. All begin from
/// Beta(½, ½). A new child of the root is a fresh answer; of another node a revision, written after `refine` with the
/// answer and its score in view (`{score}`). `batch` expansions share forward passes. A line that leaves no room for a
/// revision is gone on with no more. The best answer wins.
///
/// Paper: Wider or Deeper? Scaling LLM Inference-Time Compute with Adaptive Branching Tree Search (Inoue et al.,
/// 2025), AB-MCTS-A with Beta distributions.
struct AdaptiveBranching: Strategy {
  static let id = "adaptive-branching"

  private let expansions: Int
  private let batch: Int
  private let threshold: Double
  private let bridge: String

  init(_ run: RunContext) throws {
    expansions = try run.component.integer("n")
    batch = try run.component.integer("batch")
    threshold = try run.component.number("threshold")
    bridge = try run.component.text("refine")
  }

  /// A node of the tree; 0 is the root, which holds the prompt and no answer.
  private struct Node {
    let branch: Branch
    let score: Double
    let depth: Int
    var children: [Int] = []
    /// Scores of children that were made here.
    var made = Beta()
    /// Scores of what was made beneath its children.
    var continued = Beta()
    /// Its own score and those of everything beneath.
    var worth = Beta()
    /// Whether the context has no room for a revision.
    var isFull = false
  }

  private struct Beta {
    var (a, b) = (0.5, 0.5)
    mutating func add(_ score: Double) {
      a += score
      b += 1 - score
    }
  }

  func run(_ run: RunContext) throws {
    var dice = Dice(run)
    var nodes = [Node(branch: try run.root(), score: 0, depth: 0)]
    var best: Double?
    var tried = 0
    try run.untilRunEnds { () throws(PluginError) in
      while tried < expansions {
        var (paths, attempts): ([[Int]], [Attempt]) = ([], [])
        for _ in 0..<min(batch, expansions - tried) {
          let (path, attempt) = try begin(&nodes, &dice, run)
          paths.append(path)
          attempts.append(attempt)
        }
        tried += paths.count
        let end = try run.untilRunEnds { () throws(PluginError) in
          try run.advance(attempts.map(\.branch))
        }
        let scores = try run.score(attempts.map(\.branch))
        for (index, path) in paths.enumerated() {
          let text = try attempts[index].text()
          // Nothing was written where the context was full or the run had ended.
          if text.isEmpty, best != nil {
            nodes[path.last!].isFull = path.count > 1
            continue
          }
          let candidate = try run.candidate(text: text, score: scores[index])
          if best.map({ scores[index] > $0 }) ?? true {
            best = scores[index]
            try run.answer(candidate)
          }
          let score = min(1, max(0, scores[index]))
          nodes[path.last!].children.append(nodes.count)
          nodes[path.last!].made.add(score)
          for node in path.dropLast() { nodes[node].continued.add(score) }
          for node in path { nodes[node].worth.add(score) }
          var node = Node(branch: attempts[index].branch, score: score, depth: path.count)
          node.worth.add(score)
          nodes.append(node)
        }
        if let end { throw end }
        if let best, best >= threshold { return }
      }
    }
    let depth = nodes.map(\.depth).max() ?? 0
    try run.component.trace(
      "tree",
      [
        "nodes": .integer(nodes.count - 1), "depth": .integer(depth),
        "width": .integer(nodes[0].children.count),
      ])
  }

  /// Draws which node gets a new child, and begins that.
  private func begin(
    _ nodes: inout [Node], _ dice: inout Dice, _ run: RunContext
  ) throws(PluginError) -> (path: [Int], attempt: Attempt) {
    while true {
      let path = try descend(nodes, &dice)
      let parent = nodes[path.last!]
      if path.count == 1 { return (path, try Attempt(in: parent.branch.fork(1)[0])) }
      let bridge = try run.filled(self.bridge, ["score": "\(parent.score)"])
      let attempt = try run.ifRoom { () throws(PluginError) in
        try Attempt(after: parent.branch, bridge: bridge)
      }
      if let attempt { return (path, attempt) }
      nodes[path.last!].isFull = true
    }
  }

  /// The path to the node that gets a new child.
  private func descend(_ nodes: [Node], _ dice: inout Dice) throws(PluginError) -> [Int] {
    var path = [0]
    while true {
      let node = nodes[path.last!]
      // Beneath a full one there may be nothing, or what was made before it was known to be full.
      let open = node.children.filter { !nodes[$0].isFull }
      if open.isEmpty { return path }
      let wider = try dice.beta(node.made.a, node.made.b)
      if wider >= (try dice.beta(node.continued.a, node.continued.b)) { return path }
      var draws: [Double] = []
      for child in open { draws.append(try dice.beta(nodes[child].worth.a, nodes[child].worth.b)) }
      path.append(open[Weights.order(draws)[0]])
    }
  }
}
