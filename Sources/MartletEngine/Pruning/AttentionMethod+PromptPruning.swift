import MartletKernels

extension AttentionMethod {
  /// Prompts whose tokens leave on their way through the layers: the first layers process all of them, the
  /// later ones those that matter to the prompt's last token.
  ///
  /// What matters is known when the last token has come, so all passes but the last run the first layers
  /// alone, and the last one runs the other layers for what is left: less work for the prompt, and a rule
  /// of the prompt that no chunk changes. Keys and values of later layers are stored one after another,
  /// so that attention reads whole pages. The positions from the last full page on (1 to 32) never leave.
  public struct PromptPruning: Sendable, Equatable {
    public enum Scheme: Sendable, Equatable {
      /// Tokens leave one by one, by the weight that the last token gives them, a mean over heads; every
      /// generated token chooses anew at the same layers, and those that had left come back: their hidden
      /// states were kept. Source: "LazyLLM: Dynamic Token Pruning for Efficient Long Context LLM
      /// Inference". There what comes back is computed among the tokens of the step that wants it; here
      /// among those the prompt's own last token chose, so that branches share it and its bits do not
      /// depend on who was first.
      case lazy
      /// Blocks of 32 positions leave for good; the first and the last block stay. A block is worth what
      /// its best 8 neighbours are, by the weight that the last token gives them. Source: "SlimInfer:
      /// Accelerating Long-Context LLM Inference via Dynamic Token Pruning", which scores blocks by units
      /// of tokens within them and fetches the blocks that stay from slower memory meanwhile; here all
      /// lies in memory, and weights score units themselves where the source has stand-ins for keys.
      case slim
    }

    /// Where tokens leave.
    public struct Stage: Sendable, Equatable {
      /// After this part of the layers, above 0 and below 1.
      public var depth: Double
      /// The share of the prompt that goes on.
      public var share: Double

      public init(depth: Double, share: Double) {
        self.depth = depth
        self.share = share
      }
    }

    public var scheme: Scheme
    /// In order of depth, shares falling.
    public var stages: [Stage]
    /// Prompts of fewer positions go through whole.
    public var minimumPositions: Int

    public init(scheme: Scheme, stages: [Stage], minimumPositions: Int = 1024) {
      self.scheme = scheme
      self.stages = stages
      self.minimumPositions = minimumPositions
    }

    /// Stages after three, six and nine tenths of the layers, down to `share` in equal steps.
    public init(scheme: Scheme, share: Double) {
      self.init(
        scheme: scheme,
        stages: (1...3).map {
          Stage(depth: 0.3 * Double($0), share: share + (1 - share) * Double(3 - $0) / 3)
        })
    }
  }
}

extension AttentionMethod.PromptPruning {
  var name: String {
    (scheme == .lazy ? "lazyllm=" : "sliminfer=") + "\(stages.last?.share ?? 1)"
  }

  func validate() throws(EngineError) {
    func require(_ isGood: Bool, _ what: String) throws(EngineError) {
      if !isGood { throw EngineError(.argument, "attention \(name): \(what)") }
    }
    try require(!stages.isEmpty, "it needs a stage at which tokens leave")
    try require(
      stages.allSatisfy { $0.depth > 0 && $0.depth < 1 },
      "tokens leave between layers: a stage's depth lies above 0 and below 1")
    try require(
      stages.allSatisfy { $0.share > 0 && $0.share <= 1 },
      "the share that goes on lies above 0 and up to 1")
    try require(
      zip(stages, stages.dropFirst()).allSatisfy { $0.depth <= $1.depth && $0.share >= $1.share },
      "stages come in order of depth, and what has left does not count for later ones")
    try require(
      minimumPositions >= 64, "prompts of fewer than 64 positions have nothing to leave out")
  }

  /// After how many of `layers` layers tokens leave, and the shares that go on: where two stages fall
  /// together the later holds.
  func cuts(layers: Int) -> [(layers: Int, share: Double)] {
    var cuts: [(layers: Int, share: Double)] = []
    for stage in stages {
      let after = min(max(1, Int((stage.depth * Double(layers)).rounded())), layers - 1)
      if cuts.last?.layers == after { cuts.removeLast() }
      cuts.append((after, stage.share))
    }
    return cuts
  }

  /// The part of the keys of all layers that a token after a prompt reads, where it sees `end` positions.
  public func readShare(layers: Int, prompt: Int, end: Int) -> Double {
    guard prompt >= minimumPositions, prompt > KVSlab.pageTokens else { return 1 }
    let body = PrunedPrompt.body(of: prompt)
    let cuts = cuts(layers: layers)
    var read = Double(cuts[0].layers * end)
    for (index, cut) in cuts.enumerated() {
      let past = index + 1 < cuts.count ? cuts[index + 1].layers : layers
      read += Double((past - cut.layers) * (Self.kept(cut.share, of: body) + end - body))
    }
    return read / Double(layers * end)
  }

  /// How many of `positions` positions, a multiple of 32, go on at a share.
  static func kept(_ share: Double, of positions: Int) -> Int {
    let size = KVSlab.pageTokens
    let pages = Int((share * Double(positions / size)).rounded(.up))
    return min(max(1, pages) * size, positions)
  }

  /// The places of the `count` that go on of those with these scores, ascending; equal ones in order.
  /// Blocks of ``Scheme/slim`` are told by their place among those left.
  func choose(_ count: Int, by scores: [Float]) -> [Int] {
    guard count < scores.count else { return Array(scores.indices) }
    switch scheme {
    case .lazy: return KeptHead.best(count, of: scores[...])
    case .slim:
      let size = KVSlab.pageTokens
      let blocks = scores.count / size
      var worth = (0..<blocks).map { block in
        stride(from: block * size, to: (block + 1) * size, by: 8).map { first in
          scores[first..<first + 8].reduce(0, +)
        }.max() ?? 0
      }
      worth[blocks - 1] = .infinity
      worth[0] = .infinity
      return KeptHead.best(count / size, of: worth[...]).flatMap { $0 * size..<($0 + 1) * size }
    }
  }
}
