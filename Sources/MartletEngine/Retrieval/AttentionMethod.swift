import MartletKernels

/// What generated tokens attend to. Prompts attend to everything, but where they are ``pruned(_:)``.
public enum AttentionMethod: Sendable, Equatable {
  /// Every position before them.
  case exact
  /// The positions that an index finds for them, the first and the recent ones.
  case retrieve(Retrieval)
  /// The first positions and the recent ones alone: nothing is found again that has left the window.
  /// Source: "Efficient Streaming Language Models with Attention Sinks"; keys keep their positions
  /// here, which the source renumbers.
  case window(recent: Int, sinks: Int)
  /// The positions that were attended to most, and the recent ones.
  case heavyHitters(HeavyHitters)
  /// A share of the prompt, by importance, and all that was generated.
  case importance(Importance)
  /// What of the prompt its last token, or each generated one, took along through the layers.
  case pruned(PromptPruning)

  /// How positions are found. Source: "RetrievalAttention: Accelerating Long-Context LLM Inference via
  /// Vector Retrieval"; the index is `martlet/retrieve.h`.
  public struct Retrieval: Sendable, Equatable {
    /// The mean relative error that attention outputs may have, ‖o − exact‖ / ‖exact‖. How many
    /// positions each head needs for it is found out by trying on the prompt's own queries; heads that
    /// need too many stay exact.
    public var tolerance: Double
    /// Positions found per query head, for all heads alike; nil to go by `tolerance`.
    public var wanted: Int?
    /// Tokens at fewer positions attend to everything, which is as fast; nil for what a session measures
    /// on this machine (``RetrievalCrossing``), or ``standardMinimum``.
    public var minimumPositions: Int?
    /// The per cent of its positions that a head's queries may find together; a head that needs more attends
    /// to all of them, which is as fast. Nil for what a session measures with `minimumPositions`, or
    /// ``standardMostPercent``.
    public var mostPercent: Int?
    /// Positions from the start, and at least so many before a token, that it always attends to.
    public var sinks: Int
    public var recent: Int
    /// Four-bit codes per position and head.
    public var nibbles: Int

    public init(
      tolerance: Double = 0.02, wanted: Int? = nil, minimumPositions: Int? = nil,
      mostPercent: Int? = nil, sinks: Int = 32, recent: Int = 128, nibbles: Int = 32
    ) {
      self.tolerance = tolerance
      self.wanted = wanted
      self.minimumPositions = minimumPositions
      self.mostPercent = mostPercent
      self.sinks = sinks
      self.recent = recent
      self.nibbles = nibbles
    }

    /// Where retrieval begins if nothing was measured.
    public static let standardMinimum = 8192
    /// What pays if nothing was measured: finding, ranking and gathering a position costs about five times
    /// what reading it in place does.
    public static let standardMostPercent = 16

    /// How many of `positions` a head's queries may find together.
    func mostFound(of positions: Int) -> Int {
      positions * (mostPercent ?? Self.standardMostPercent) / 100
    }

    /// What `name` adds for what was chosen besides the tolerance.
    fileprivate var details: String {
      let standard = Retrieval()
      var all = [("from", minimumPositions), ("most", mostPercent), ("wanted", wanted)]
      if sinks != standard.sinks { all.append(("sinks", sinks)) }
      if recent != standard.recent { all.append(("recent", recent)) }
      if nibbles != standard.nibbles { all.append(("nibbles", nibbles)) }
      return all.reduce("") { text, word in text + (word.1.map { ",\(word.0)=\($0)" } ?? "") }
    }

    /// Words of a name and what their numbers set.
    fileprivate static let words: [String: @Sendable (inout Retrieval, Int) -> Void] = [
      "from": { $0.minimumPositions = $1 }, "most": { $0.mostPercent = $1 },
      "wanted": { $0.wanted = $1 },
      "sinks": { $0.sinks = $1 }, "recent": { $0.recent = $1 }, "nibbles": { $0.nibbles = $1 },
    ]

    /// The pages that a token which sees positions 0 ..< `end` searches: those behind the sinks and out
    /// of the recent window.
    func searchedPages(before end: Int) -> Range<Int> {
      let size = KVSlab.pageTokens
      let last = max(0, end - recent) / size
      return min((sinks + size - 1) / size, last)..<last
    }
  }

  /// The words that ``parse(_:)`` knows.
  public static let names = [
    "exact", "retrieve", "retrieve=TOLERANCE", "retrieve=TOLERANCE,from=POSITIONS,recent=POSITIONS",
    "window=RECENT", "h2o=POSITIONS", "critic=SHARE", "lazyllm=SHARE", "sliminfer=SHARE",
  ]

  /// What ``parse(_:)`` reads as this; what nobody changed is left out.
  public var name: String {
    switch self {
    case .exact: "exact"
    case .retrieve(let retrieval):
      "retrieve=\(retrieval.tolerance)" + retrieval.details
    case .window(let recent, _): "window=\(recent)"
    case .heavyHitters(let rule): "h2o=\(rule.heavy + rule.recent)"
    case .importance(let rule): "critic=\(rule.share)"
    case .pruned(let pruning): pruning.name
    }
  }

  /// `exact`, `retrieve` with or without a tolerance and where it begins, `window` with the number of
  /// recent positions, `h2o` with that of all positions kept, or `critic`,
  /// `lazyllm` and `sliminfer` with the share of a prompt.
  ///
  /// Throws ``EngineError/Code/argument`` naming the word at fault.
  public static func parse(_ text: String) throws(EngineError) -> AttentionMethod {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let value = parts.count > 1 ? String(parts[1]) : nil
    let method: AttentionMethod
    switch (parts.first.map(String.init) ?? "", value) {
    case ("exact", nil): method = .exact
    case ("retrieve", nil): method = .retrieve(Retrieval())
    case ("retrieve", let value?): method = .retrieve(try retrieval(value, in: text))
    case ("window", let value?):
      method = .window(recent: try positions(value, in: text), sinks: 32)
    case ("h2o", let value?):
      method = .heavyHitters(HeavyHitters(budget: try positions(value, in: text)))
    case ("lazyllm", let value?):
      method = .pruned(PromptPruning(scheme: .lazy, share: try share(value, in: text)))
    case ("sliminfer", let value?):
      method = .pruned(PromptPruning(scheme: .slim, share: try share(value, in: text)))
    case ("critic", let value?): method = .importance(Importance(share: try share(value, in: text)))
    default:
      throw EngineError(
        .argument,
        "attention '\(text)' is unknown; write \(names.joined(separator: ", "))")
    }
    try method.validate()
    return method
  }

  private static func positions(_ value: String, in text: String) throws(EngineError) -> Int {
    guard let positions = Int(value) else {
      throw EngineError(
        .argument, "attention '\(text)': '\(value)' is no number of positions, such as 4096")
    }
    return positions
  }

  private static func share(_ value: String, in text: String) throws(EngineError) -> Double {
    guard let share = Double(value) else {
      throw EngineError(
        .argument, "attention '\(text)': '\(value)' is no share of the positions, such as 0.25")
    }
    return share
  }

  /// `0.02` or `0.02,from=8192`, with more words of ``Retrieval/words`` in any order.
  private static func retrieval(
    _ value: String, in text: String
  ) throws(EngineError) -> Retrieval {
    let parts = value.split(separator: ",", omittingEmptySubsequences: false)
    guard let tolerance = Double(parts[0]) else {
      throw EngineError(
        .argument, "attention '\(text)': '\(parts[0])' is no number; write one such as 0.02")
    }
    var retrieval = Retrieval(tolerance: tolerance)
    for part in parts.dropFirst() {
      let pair = part.split(separator: "=", omittingEmptySubsequences: false)
      guard pair.count == 2, let number = Int(pair[1]), let set = Retrieval.words[String(pair[0])]
      else {
        throw EngineError(
          .argument,
          "attention '\(text)': '\(part)' is unknown; write from=POSITIONS, such as from=8192, or one "
            + "of \(Retrieval.words.keys.sorted().joined(separator: ", ")) with a number")
      }
      set(&retrieval, number)
    }
    return retrieval
  }

  /// Names with commas between them, where a comma may also go on with the name before it.
  ///
  /// Throws ``EngineError/Code/argument`` naming the word at fault.
  public static func parseList(_ text: String) throws(EngineError) -> [AttentionMethod] {
    var names: [String] = []
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      let key = String(word.prefix { $0 != "=" })
      if !names.isEmpty, word.contains("="), Retrieval.words[key] != nil {
        names[names.count - 1] += "," + word
      } else {
        names.append(String(word))
      }
    }
    var methods: [AttentionMethod] = []
    for name in names { methods.append(try parse(name)) }
    return methods
  }

  func validate() throws(EngineError) {
    func require(_ isGood: Bool, _ what: String) throws(EngineError) {
      if !isGood { throw EngineError(.argument, "attention \(name): \(what)") }
    }
    switch self {
    case .exact: break
    case .heavyHitters(let rule): try rule.validate(name)
    case .importance(let rule): try rule.validate(name)
    case .pruned(let pruning): try pruning.validate()
    case .window(let recent, let sinks):
      try require(recent >= 1 && sinks >= 0, "a window needs 1 recent position or more")
      try require(max(recent, sinks) <= 1 << 31, "no sequence has so many positions")
    case .retrieve(let r):
      try require((0...1).contains(r.tolerance), "the tolerance is a share, 0 to 1")
      try require(
        (0...100).contains(r.mostPercent ?? 0),
        "what a head may find is a per cent of its positions")
      try require(r.wanted ?? 0 >= 0, "the number of positions wanted is negative")
      try require(
        r.nibbles % 8 == 0 && (8...256).contains(r.nibbles), "nibbles are a multiple of 8 up to 256"
      )
      try require(r.recent >= 1 && r.sinks >= 0, "it needs 1 recent position or more")
      try require(
        max(r.recent, r.sinks, r.wanted ?? 0) <= 1 << 31, "no sequence has so many positions")
      try require(
        r.minimumPositions ?? Retrieval.standardMinimum >= 1024,
        "with fewer than 1024 positions there is nothing to learn the index from")
    }
  }
}

extension Kernels {
  /// ``retrievalPath(found:sinks:recent:end:)`` with all positions that lie around the pages searched.
  static func retrievalPath(found: [UInt32], around pages: Range<Int>, end: Int) -> [UInt32] {
    retrievalPath(
      found: found, sinks: pages.lowerBound * KVSlab.pageTokens,
      recent: pages.upperBound * KVSlab.pageTokens, end: end)
  }
}
