/// Grants sampled tokens before they are drawn. A budget ledger implements it.
///
/// Called with the engine's lock held, from any thread: an implementation takes only its own lock
/// and never calls the engine.
public protocol TokenGate: AnyObject, Sendable {
  /// Tokens that may still be reserved; nil when tokens are not limited. While it is not nil the
  /// run's branches advance in strict rounds, each round in order of branch path, so that which
  /// branches get the last tokens does not depend on time.
  var remainingTokens: Int? { get }
  /// Reserves `count` tokens, all or none. False stops the branch that asked with
  /// ``StopReason/budget``.
  func reserve(_ count: Int) -> Bool
  /// Grants tokens that are given, not drawn: appended text and further prompts.
  func reservePrompt(_ count: Int) -> Bool
  /// Gives back tokens that were rolled back: drawn ahead of a decision that discarded them.
  func refund(_ count: Int)
  /// Grants the reading of tokens once more, for guidance.
  func reserveGuidance(_ count: Int) -> Bool
  /// Gives back what ``reserveGuidance(_:)`` granted and nobody read.
  func refundGuidance(_ count: Int)
}

extension TokenGate {
  /// All of them, where a gate counts drawn tokens alone.
  public func reservePrompt(_ count: Int) -> Bool { true }
  public func reserveGuidance(_ count: Int) -> Bool { true }
  public func refundGuidance(_ count: Int) {}
}
