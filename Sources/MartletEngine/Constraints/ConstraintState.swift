import MartletModel

/// Where a text stands in a constraint: one number per token, so that copying, truncating and going
/// back are cheap. A pure function of the tokens.
///
/// Made and changed by ``TokenConstraint``.
public struct ConstraintState: Sendable {
  struct Step: Sendable {
    /// The token whose bytes were taken; nil for one that ended the text.
    let token: Token?
    /// The place after it.
    var place: Int32
    let isForced: Bool
  }

  /// The place before the first token.
  var start: Int32
  var steps: [Step] = []
  /// Which numbering of places these are of; see ``TokenConstraint``.
  var generation: Int

  var place: Int32 { steps.last?.place ?? start }

  /// How many tokens have been taken.
  public var count: Int { steps.count }

  /// Goes back to the first `count` tokens.
  public mutating func truncate(to count: Int) {
    steps.removeLast(max(0, steps.count - count))
  }

  /// How many of the tokens from `count` on were forced.
  func forcedTokens(from count: Int) -> Int { steps[count...].count { $0.isForced } }
}
