import MartletPlugin

/// Adaptive-branching tree search: at every node it is drawn by Thompson sampling whether to go wider, with a new
/// answer, or deeper, with a revision of one that is there.
///
/// Each node holds a whole answer with its score in 0…1. From the root down, a "new child" arm and the existing
/// children compete: each draws from a Beta posterior of the scores found beneath it, and the highest draw wins. A
/// new child of the root is a fresh answer; of another node a revision, written after `refine` with the answer and
/// its score in view (`{score}`). `batch` expansions share forward passes. The best answer wins.
///
/// Paper: Wider or Deeper? Scaling LLM Inference-Time Compute with Adaptive Branching Tree Search (Inoue et al.,
/// 2025), its variant with conjugate priors.
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
    /// Scores of children that were made new here, and of everything beneath, itself included.
    var made = Beta()
    var beneath = Beta()
  }

  private struct Beta {
    var (a, b) = (1.0, 1.0)
    mutating func add(_ score: Double) {
      a += score
      b += 1 - score
    }
  }

  func run(_ run: RunContext) throws {
    var dice = Dice(run)
    var nodes = [Node(branch: try run.root(), score: 0, depth: 0)]
    var best: Double?
    try run.untilRunEnds { () throws(PluginError) in
      while nodes.count <= expansions {
        var paths: [[Int]] = []
        for _ in 0..<min(batch, expansions + 1 - nodes.count) {
          paths.append(try descend(nodes, &dice))
        }
        var attempts: [Attempt] = []
        for path in paths {
          let parent = nodes[path.last!]
          attempts.append(
            path.count == 1
              ? try Attempt(in: try parent.branch.fork(1)[0])
              : try Attempt(
                after: parent.branch, bridge: try run.filled(bridge, ["score": "\(parent.score)"])))
        }
        let end = try run.untilRunEnds { () throws(PluginError) in
          try run.advance(attempts.map(\.branch))
        }
        let scores = try run.score(attempts.map(\.branch))
        for (index, path) in paths.enumerated() {
          let score = min(1, max(0, scores[index]))
          let candidate = try run.candidate(text: try attempts[index].text(), score: scores[index])
          if best.map({ scores[index] > $0 }) ?? true {
            best = scores[index]
            try run.answer(candidate)
          }
          nodes[path.last!].children.append(nodes.count)
          nodes[path.last!].made.add(score)
          for node in path { nodes[node].beneath.add(score) }
          var node = Node(branch: attempts[index].branch, score: score, depth: path.count)
          node.beneath.add(score)
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

  /// The path to the node that gets a new child.
  private func descend(_ nodes: [Node], _ dice: inout Dice) throws(PluginError) -> [Int] {
    var path = [0]
    while true {
      let node = nodes[path.last!]
      if node.children.isEmpty { return path }
      let made = try dice.beta(node.made.a, node.made.b)
      var (best, winner): (Double, Int?) = (made, nil)
      for child in node.children {
        let draw = try dice.beta(nodes[child].beneath.a, nodes[child].beneath.b)
        if draw > best { (best, winner) = (draw, child) }
      }
      guard let winner else { return path }
      path.append(winner)
    }
  }
}
