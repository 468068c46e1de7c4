public import MartletEngine
import Synchronization

/// Keeps account of a run's budget. Tokens are reserved before they are drawn, so the budget is
/// never exceeded, not by one token; refunds return what was drawn and rolled back.
public final class BudgetLedger: TokenGate {
  /// The budget it keeps.
  public let budget: Budget
  private let deadline: ContinuousClock.Instant?
  private let state = Mutex(State())

  private struct State {
    var reserved = 0
    var ended: Resource?
  }

  /// What can run out.
  public enum Resource: String, Sendable {
    case tokens
    case seconds
  }

  /// Opens a ledger; its clock starts now.
  /// - Throws: `budget` for an amount with which nothing can be done.
  public init(_ budget: Budget) throws(ScalingError) {
    try budget.validate()
    self.budget = budget
    // Past a century a deadline is none, and a Duration of it might not fit.
    deadline = budget.seconds.flatMap { $0 < 3e9 ? .now + .seconds($0) : nil }
  }

  /// Tokens that may still be reserved; nil when they are not limited.
  public var remainingTokens: Int? {
    budget.tokens.map { limit in state.withLock { limit - $0.reserved } }
  }

  /// Seconds until the deadline, 0 after it; nil when there is none.
  public var remainingSeconds: Double? {
    deadline.map { max(0, ContinuousClock.now.duration(to: $0) / .seconds(1)) }
  }

  /// Tokens reserved so far, refunds deducted.
  public var reservedTokens: Int { state.withLock { $0.reserved } }

  /// What ran out first, once something was refused for it.
  public var ended: Resource? { state.withLock { $0.ended } }

  /// Whether the deadline has passed. Noted as what ended the run.
  @discardableResult
  public func notesDeadline() -> Bool {
    guard let deadline, ContinuousClock.now >= deadline else { return false }
    state.withLock { $0.ended = $0.ended ?? .seconds }
    return true
  }

  public func reserve(_ count: Int) -> Bool {
    if notesDeadline() { return false }
    return state.withLock { state in
      if let limit = budget.tokens, count > limit - state.reserved {
        state.ended = state.ended ?? .tokens
        return false
      }
      state.reserved += count
      return true
    }
  }

  public func refund(_ count: Int) { state.withLock { $0.reserved -= count } }
}
