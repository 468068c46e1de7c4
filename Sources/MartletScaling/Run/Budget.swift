/// What a run may use. Nil is no limit.
public struct Budget: Sendable, Equatable {
  /// The most tokens that may be sampled, over all branches, discarded ones included.
  public var tokens: Int?
  /// Seconds from the start of the run after which it stops: no token is drawn later, but a forward
  /// pass in progress is finished and what there is is judged, so the result comes that much later.
  public var seconds: Double?

  /// A budget; by default without limits.
  public init(tokens: Int? = nil, seconds: Double? = nil) {
    self.tokens = tokens
    self.seconds = seconds
  }

  /// Reads `tokens=64,seconds=2.5`.
  /// - Throws: `budget` naming the part that cannot be used, or that is given twice.
  public init(parsing text: String) throws(ScalingError) {
    var seen: Set<String> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
      guard pair.count == 2 else {
        throw ScalingError(
          .budget, "budget '\(part)' is not of the form name=amount; names are tokens and seconds")
      }
      guard seen.insert(pair[0]).inserted else {
        throw ScalingError(.budget, "budget '\(pair[0])' is given twice; give it once")
      }
      switch pair[0] {
      case "tokens":
        guard let amount = Int(pair[1]) else {
          throw ScalingError(.budget, "budget tokens must be a whole number, not '\(pair[1])'")
        }
        tokens = amount
      case "seconds":
        guard let amount = Double(pair[1]) else {
          throw ScalingError(.budget, "budget seconds must be a number, not '\(pair[1])'")
        }
        seconds = amount
      default:
        throw ScalingError(
          .budget, "there is no budget '\(pair[0])'; there are tokens and seconds")
      }
    }
    try validate()
  }

  /// Checks that something can be done with it.
  /// - Throws: `budget` naming the amount.
  public func validate() throws(ScalingError) {
    if let tokens, tokens < 1 {
      throw ScalingError(
        .budget, "a budget of \(tokens) tokens generates nothing; give at least 1, or none at all")
    }
    if let seconds, !(seconds > 0 && seconds.isFinite) {
      throw ScalingError(
        .budget,
        "a budget of \(seconds) seconds generates nothing; give more than 0, or none at all")
    }
  }
}
