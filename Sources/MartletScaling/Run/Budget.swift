/// What a run may use. Nil is no limit.
public struct Budget: Sendable, Equatable, Codable {
  /// The most tokens that may be sampled, over all branches, discarded ones included.
  public var tokens: Int?
  /// The most tokens of all kinds: sampled, prompt, appended, those that other models process for
  /// scorers, and those that are read once more for guidance.
  public var totalTokens: Int?
  /// Seconds from the start of the run after which it stops: no token is drawn later, but a forward
  /// pass in progress is finished and what there is is judged, so the result comes that much later.
  public var seconds: Double?
  /// The most bytes of keys and values that the run's branches may hold at once.
  public var kvBytes: Int?
  /// The most floating-point operations: two for each parameter of a model and token it processes,
  /// attention and drafts left out.
  public var flops: Double?

  /// A budget; by default without limits.
  public init(
    tokens: Int? = nil, seconds: Double? = nil, totalTokens: Int? = nil, kvBytes: Int? = nil,
    flops: Double? = nil
  ) {
    self.tokens = tokens
    self.seconds = seconds
    self.totalTokens = totalTokens
    self.kvBytes = kvBytes
    self.flops = flops
  }

  /// The names that ``init(parsing:)`` knows.
  public static let names = ["tokens", "total_tokens", "seconds", "kv_bytes", "flops"]

  /// Reads `tokens=64,seconds=2.5`.
  /// - Throws: `budget` naming the part that cannot be used, or that is given twice.
  public init(parsing text: String) throws(ScalingError) {
    var seen: Set<String> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
      guard pair.count == 2 else {
        throw ScalingError(
          .budget,
          "budget '\(part)' is not of the form name=amount; names are \(Self.nameList)")
      }
      guard seen.insert(pair[0]).inserted else {
        throw ScalingError(.budget, "budget '\(pair[0])' is given twice; give it once")
      }
      switch pair[0] {
      case "tokens": tokens = try Self.whole(pair)
      case "total_tokens": totalTokens = try Self.whole(pair)
      case "kv_bytes": kvBytes = try Self.whole(pair)
      case "seconds": seconds = try Self.number(pair)
      case "flops": flops = try Self.number(pair)
      default:
        throw ScalingError(
          .budget, "there is no budget '\(pair[0])'; there are \(Self.nameList)")
      }
    }
    try validate()
  }

  private static var nameList: String {
    names.dropLast().joined(separator: ", ") + " and " + names.last!
  }

  private static func whole(_ pair: [String]) throws(ScalingError) -> Int {
    guard let amount = Int(pair[1]) else {
      throw ScalingError(
        .budget, "budget \(pair[0]) must be a whole number, not '\(pair[1])'")
    }
    return amount
  }

  private static func number(_ pair: [String]) throws(ScalingError) -> Double {
    guard let amount = Double(pair[1]) else {
      throw ScalingError(.budget, "budget \(pair[0]) must be a number, not '\(pair[1])'")
    }
    return amount
  }

  /// Checks that something can be done with it.
  /// - Throws: `budget` naming the amount.
  public func validate() throws(ScalingError) {
    for (amount, unit) in [
      (tokens, "tokens"), (totalTokens, "tokens in all"), (kvBytes, "bytes of keys and values"),
    ] {
      if let amount, amount < 1 {
        throw ScalingError(
          .budget,
          "a budget of \(amount) \(unit) generates nothing; give at least 1, or none at all")
      }
    }
    for (amount, unit) in [(seconds, "seconds"), (flops, "operations")] {
      if let amount, !(amount > 0 && amount.isFinite) {
        throw ScalingError(
          .budget,
          "a budget of \(amount) \(unit) generates nothing; give more than 0, or none at all")
      }
    }
  }
}
