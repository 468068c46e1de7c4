import Glibc

/// Monte-Carlo tree search over steps of reasoning, with values in place of rollouts.
///
/// What the methods built on it share: selection goes down by PUCT, several leaves are expanded together, a child's value
/// is its first visit, and values go up as means. The methods say how children are made and valued, and whether the
/// model's opinion of a step counts in choosing it.
public struct StepTree {
  /// Leaves to expand.
  public var simulations: Int
  /// Ways in which a leaf is continued.
  public var expand: Int
  /// Leaves that are expanded together.
  public var batch: Int
  /// Weight of what was seldom tried.
  public var exploration: Double
  /// What ends a step.
  public var delimiter: String
  /// Whether a step's prior is its probability per token, exp(mean log-probability); else all have the same.
  public var usesModelPriors = false

  /// Reads the options `simulations`, `expand`, `batch`, `exploration` and `step`.
  public init(_ run: RunContext) throws(PluginError) {
    simulations = try run.component.integer("simulations")
    expand = try run.component.integer("expand")
    batch = try run.component.integer("batch")
    exploration = try run.component.number("exploration")
    delimiter = try run.stepDelimiter()
  }

  private struct Node {
    let branch: Branch
    let parent: Int?
    let isFinished: Bool
    let prior: Double
    var value: Double
    var visits = 1.0
    var total: Double
    var children: [Int] = []
    /// Chosen in this batch already.
    var isTaken = false

    init(_ branch: Branch, parent: Int?, isFinished: Bool, prior: Double, value: Double) {
      (self.branch, self.parent, self.isFinished) = (branch, parent, isFinished)
      (self.prior, self.value, total) = (prior, value, value)
    }
  }

  /// Searches from the run's root and names the finished answer with the highest value, else completes the most visited
  /// line and names that.
  ///
  /// - Parameter value: gives children that were just advanced by a step their values, and may write into them; what it
  ///   throws when the run ends is passed on after the children have been kept with the run's scores. The run's scorer if
  ///   not given.
  public func search(
    _ run: RunContext, value: ((_ children: [Branch]) throws(PluginError) -> [Double])? = nil
  ) throws(PluginError) {
    var nodes = [Node(try run.root(), parent: nil, isFinished: false, prior: 1, value: 0)]
    try run.untilRunEnds { () throws(PluginError) in
      var done = 0
      while done < simulations {
        var leaves: [Int] = []
        for _ in 0..<batch {
          guard let leaf = select(nodes) else { break }
          if nodes[leaf].isFinished {
            back(nodes[leaf].value, from: leaf, &nodes)
            done += 1
          } else {
            nodes[leaf].isTaken = true
            leaves.append(leaf)
          }
          if done >= simulations { break }
        }
        if leaves.isEmpty {
          if select(nodes) == nil { return }
          continue
        }
        done += leaves.count
        try grow(leaves, &nodes, run, value)
      }
    }
    try answer(nodes, run)
  }

  /// The leaf that selection leads to; nil where every line is taken.
  private func select(_ nodes: [Node]) -> Int? {
    var at = 0
    while !nodes[at].children.isEmpty {
      let scale = exploration * nodes[at].visits.squareRoot()
      let open = nodes[at].children.filter { !nodes[$0].isTaken }
      guard !open.isEmpty else { return nil }
      let values = open.map { child in
        nodes[child].total / nodes[child].visits
          + scale * nodes[child].prior / (1 + nodes[child].visits)
      }
      at = open[Weights.order(values)[0]]
    }
    return nodes[at].isTaken ? nil : at
  }

  /// Continues leaves by one step each way and gives their values to all above them.
  private func grow(
    _ leaves: [Int], _ nodes: inout [Node], _ run: RunContext,
    _ value: ((_ children: [Branch]) throws(PluginError) -> [Double])?
  ) throws(PluginError) {
    var children: [(branch: Branch, parent: Int)] = []
    var lengths: [Int: Int] = [:]
    for leaf in leaves {
      for child in try nodes[leaf].branch.fork(expand) { children.append((child, leaf)) }
      lengths[leaf] = try nodes[leaf].branch.state().generatedTokens
      if leaf > 0 { try nodes[leaf].branch.demote() }
    }
    var values: [Double] = []
    let end = try run.untilRunEnds { () throws(PluginError) in
      try run.advance(children.map(\.branch), Advance(delimiter: delimiter))
      if let value { values = try value(children.map(\.branch)) }
    }
    if values.isEmpty { values = try run.score(children.map(\.branch)) }
    for (child, value) in zip(children, values) {
      nodes[child.parent].children.append(nodes.count)
      let prior = try prior(of: child.branch, after: lengths[child.parent] ?? 0)
      nodes.append(
        Node(
          child.branch, parent: child.parent, isFinished: try child.branch.state().isFinished,
          prior: prior, value: value))
      back(value, from: child.parent, &nodes)
    }
    for leaf in leaves { nodes[leaf].isTaken = false }
    if let end { throw end }
  }

  private func prior(of branch: Branch, after tokens: Int) throws(PluginError) -> Double {
    guard usesModelPriors else { return 1 / Double(expand) }
    let logprobs = try branch.logprobs().dropFirst(tokens)
    return exp(logprobs.reduce(0) { $0 + Double($1) } / Double(max(1, logprobs.count)))
  }

  private func back(_ value: Double, from node: Int, _ nodes: inout [Node]) {
    var at: Int? = node
    while let current = at {
      nodes[current].visits += 1
      nodes[current].total += value
      at = nodes[current].parent
    }
  }

  private func answer(_ nodes: [Node], _ run: RunContext) throws(PluginError) {
    let finished = nodes.filter(\.isFinished)
    if !finished.isEmpty {
      try run.answerBest(of: finished.map(\.branch), scores: finished.map(\.value))
    } else {
      var at = 0
      while !nodes[at].children.isEmpty {
        let children = nodes[at].children
        at = children[Weights.order(children.map { nodes[$0].visits })[0]]
      }
      let line = try nodes[at].branch.fork(1)[0]
      try run.untilRunEnds { () throws(PluginError) in try run.advance([line]) }
      try run.answer(try run.candidate(line, score: nodes[at].value))
    }
    try run.component.trace(
      "tree", ["nodes": .integer(nodes.count), "finished": .integer(finished.count)])
  }
}
