import Glibc
import MartletPlugin

/// MindStar: reasoning as a search for the cheapest path, by Levin tree search over steps.
///
/// Each expansion continues a partial answer `expand` ways by one step. A step's probability is the softmax of the
/// scorer's reward among its siblings at `temperature`; a node at depth d with probability π, the product along its path,
/// costs d / π. The cheapest node is expanded next, wherever it stands; the first finished one that comes up is the answer.
/// When expansions or the budget end, the finished one with the highest reward is, else the cheapest line is completed.
///
/// Paper: MindStar: Enhancing Math Reasoning in Pre-trained LLMs at Inference Time (Kang et al., 2024). Of its two searches
/// the other is `beam-search` with `expand` ways and a process reward.
struct MindStar: Strategy {
  static let id = "mindstar"

  private let expand: Int
  private let expansions: Int
  private let temperature: Double
  private let frontier: Int
  private let delimiter: String

  init(_ run: RunContext) throws {
    expand = try run.component.integer("expand")
    expansions = try run.component.integer("expansions")
    temperature = try run.component.number("temperature")
    frontier = try run.component.integer("frontier")
    delimiter = try run.stepDelimiter()
  }

  private struct Node {
    let branch: Branch
    let reward: Double
    let depth: Int
    /// log π.
    let logProbability: Double
    let isFinished: Bool

    /// log d − log π, higher for the cheaper.
    var promise: Double { logProbability - log(Double(max(1, depth))) }
  }

  func run(_ run: RunContext) throws {
    var open = [
      Node(
        branch: try run.root().fork(1)[0], reward: 0, depth: 0, logProbability: 0,
        isFinished: false)
    ]
    var first: Node?
    var expanded = 0
    try run.untilRunEnds { () throws(PluginError) in
      while expanded < expansions {
        let node = open.remove(at: Weights.order(open.map(\.promise))[0])
        if node.isFinished {
          first = node
          return
        }
        let children = try node.branch.fork(expand)
        try node.branch.release()
        expanded += 1
        let end = try run.untilRunEnds { () throws(PluginError) in
          try run.advance(children, Advance(delimiter: delimiter))
        }
        let rewards = try run.score(children)
        let parts = Weights.normalized(rewards, temperature: temperature)
        for (index, child) in children.enumerated() {
          open.append(
            Node(
              branch: child, reward: rewards[index], depth: node.depth + 1,
              logProbability: node.logProbability + log(max(parts[index], 1e-300)),
              isFinished: try child.state().isFinished))
        }
        if let end { throw end }
        for index in Weights.order(open.map(\.promise)).dropFirst(frontier).sorted(by: >) {
          try open.remove(at: index).branch.release()
        }
      }
    }
    if let first {
      try run.answer(try run.candidate(first.branch, score: first.reward))
    } else {
      try answer(from: open, run)
    }
    try run.component.trace(
      "levin", ["expanded": .integer(expanded), "cheapest": .flag(first != nil)])
  }

  private func answer(from open: [Node], _ run: RunContext) throws(PluginError) {
    let finished = open.filter(\.isFinished)
    if !finished.isEmpty {
      try run.answerBest(of: finished.map(\.branch), scores: finished.map(\.reward))
    } else if let best = Weights.order(open.map(\.promise)).first {
      try run.untilRunEnds { () throws(PluginError) in try run.advance([open[best].branch]) }
      try run.answer(try run.candidate(open[best].branch, score: open[best].reward))
    }
  }
}
