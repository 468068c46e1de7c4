/// Beam search over steps of reasoning, in one group or in several that never compare their beams.
///
/// What the methods built on it share: beams are continued by one step each, all in one batch; finished ones
/// stay in the race with the score they have; whoever is dropped gives its pages back at once.
public struct StepBeams {
  /// Beams that are kept, over all groups.
  public var width: Int
  /// Ways in which each is continued.
  public var expand: Int
  /// Most steps of a beam.
  public var steps: Int
  /// Searches that go side by side.
  public var groups: Int
  /// What ends a step.
  public var delimiter: String
  /// Most tokens of a step; nil for as many as it takes.
  public var stepTokens: Int?

  /// Reads the options `width`, `expand`, `steps`, `step` and `step_tokens`. There are at most as many
  /// groups as beams.
  public init(_ run: RunContext, groups: Int = 1) throws(PluginError) {
    width = try run.component.integer("width")
    expand = try run.component.integer("expand")
    steps = try run.component.integer("steps")
    delimiter = try run.stepDelimiter()
    let most = try run.component.integer("step_tokens")
    stepTokens = most == 0 ? nil : most
    self.groups = min(groups, width)
  }

  /// One step.
  public var advance: Advance { Advance(maxTokens: stepTokens, delimiter: delimiter) }

  /// A beam with its score.
  public struct Beam {
    /// The branch.
    public var branch: Branch
    /// What the scorer gave it.
    public var score: Double
    /// Which search it belongs to.
    public var group: Int
    /// Whether it cannot go on.
    public var isFinished: Bool
  }

  /// Searches from a branch, names the best result as the answer, and returns the last beams.
  ///
  /// - Parameter judge: scores branches; the run's scorer if not given.
  @discardableResult
  public func search(
    _ run: RunContext, from start: Branch,
    judge: ((_ branches: [Branch]) throws(PluginError) -> [Double])? = nil
  ) throws(PluginError) -> [Beam] {
    var beams: [Beam] = []
    let perGroup = width / groups
    let end = try run.untilRunEnds { () throws(PluginError) in
      var open: [(Branch, Int)] = []
      for group in 0..<groups {
        for branch in try start.fork(perGroup * expand) { open.append((branch, group)) }
      }
      for step in 0..<steps {
        try run.advance(open.map(\.0), advance)
        let scores = try judged(open.map(\.0), run, judge)
        var all = beams.filter(\.isFinished)
        for ((branch, group), score) in zip(open, scores) {
          all.append(
            Beam(
              branch: branch, score: score, group: group,
              isFinished: try branch.state().isFinished))
        }
        beams = try keep(all, perGroup)
        let going = beams.filter { !$0.isFinished }
        if going.isEmpty || step == steps - 1 { break }
        open = []
        beams = beams.filter(\.isFinished)
        for beam in going {
          for child in try beam.branch.fork(expand) {
            open.append((child, beam.group))
            // Until it is judged, a continuation is worth what its beam was: it may be the run's end.
            beams.append(
              Beam(branch: child, score: beam.score, group: beam.group, isFinished: false))
          }
          try beam.branch.release()
        }
      }
      // Whoever ran out of steps goes on to the end in one go.
      let rest = beams.indices.filter { !beams[$0].isFinished }
      guard !rest.isEmpty else { return }
      try run.advance(rest.map { beams[$0].branch })
      let scores = try judged(rest.map { beams[$0].branch }, run, judge)
      for (index, score) in zip(rest, scores) { beams[index].score = score }
    }
    if end == nil || !beams.isEmpty {
      try run.answerBest(of: beams.map(\.branch), scores: beams.map(\.score))
    }
    return beams
  }

  private func judged(
    _ branches: [Branch], _ run: RunContext,
    _ judge: ((_ branches: [Branch]) throws(PluginError) -> [Double])?
  ) throws(PluginError) -> [Double] {
    guard let judge else { return try run.score(branches) }
    return try judge(branches)
  }

  /// The best of each group; the others are given up.
  private func keep(_ all: [Beam], _ count: Int) throws(PluginError) -> [Beam] {
    var kept: [Beam] = []
    for group in 0..<groups {
      let own = all.filter { $0.group == group }
      for (rank, index) in Weights.order(own.map(\.score)).enumerated() {
        if rank < count { kept.append(own[index]) } else { try own[index].branch.release() }
      }
    }
    return kept
  }
}
