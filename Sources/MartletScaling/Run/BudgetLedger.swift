public import MartletEngine
import Synchronization

/// Keeps account of a run's budget. Tokens are reserved before they are drawn or processed, so the
/// budget is never exceeded, not by one token; refunds return what was drawn and rolled back.
///
/// A strategy that runs inside another has a ledger of its own within the other's: what it reserves
/// is reserved in both, so a child never has more than its part, nor more than its parent has left.
public final class BudgetLedger: TokenGate {
  /// The budget it keeps.
  public let budget: Budget
  private let parent: BudgetLedger?
  private let deadline: ContinuousClock.Instant?
  /// Operations per token of the run's own model; 0 where nobody knows.
  private let flopsPerToken: Double
  private let state = Mutex(State())

  private struct State {
    var used = Used()
    var ended: Resource?
  }

  /// What was reserved so far, refunds deducted.
  struct Used: Sendable, Equatable {
    var generated = 0
    var prompt = 0
    /// Processed by other models than the run's own.
    var scored = 0
    /// Read once more for guidance.
    var guidance = 0
    var flops = 0.0
    var total: Int { generated + prompt + scored + guidance }
  }

  /// What can run out.
  public enum Resource: String, Sendable {
    case tokens
    case totalTokens
    case seconds
    case flops
  }

  /// Whose tokens they are.
  enum Kind {
    case generated
    case prompt
    case scored
    case guidance
  }

  /// Opens a ledger; its clock starts now.
  /// - Parameter flopsPerToken: two for each parameter of the model that the run decodes with.
  /// - Throws: `budget` for an amount with which nothing can be done.
  public convenience init(_ budget: Budget, flopsPerToken: Double = 0) throws(ScalingError) {
    try budget.validate()
    if budget.flops != nil, flopsPerToken <= 0 {
      throw ScalingError(
        .budget, "a budget of flops needs a model that says how many parameters it has")
    }
    self.init(budget, flopsPerToken: flopsPerToken, parent: nil)
  }

  private init(_ budget: Budget, flopsPerToken: Double, parent: BudgetLedger?) {
    self.budget = budget
    self.flopsPerToken = flopsPerToken
    self.parent = parent
    // Past a century a deadline is none, and a Duration of it might not fit.
    deadline = budget.seconds.flatMap { $0 < 3e9 ? .now + .seconds($0) : nil }
  }

  /// A ledger for a part of this one.
  /// - Throws: `budget` for an amount with which nothing can be done.
  func child(_ budget: Budget) throws(ScalingError) -> BudgetLedger {
    try budget.validate()
    return BudgetLedger(budget, flopsPerToken: flopsPerToken, parent: self)
  }

  /// What was reserved so far.
  var used: Used { state.withLock { $0.used } }

  /// Tokens that may still be sampled; nil when nothing limits them.
  public var remainingTokens: Int? {
    left(.generated, flopsPerToken: flopsPerToken, atOnce: budget.tokens)
  }

  /// Tokens of any kind that may still be processed; nil when they are not limited.
  public var remainingTotalTokens: Int? {
    Self.smaller(
      budget.totalTokens.map { limit in state.withLock { limit - $0.used.total } },
      parent?.remainingTotalTokens)
  }

  /// Operations that may still be done; nil when they are not limited.
  public var remainingFLOPs: Double? {
    let own = budget.flops.map { limit in state.withLock { max(0, limit - $0.used.flops) } }
    guard let own, let others = parent?.remainingFLOPs else { return own ?? parent?.remainingFLOPs }
    return min(own, others)
  }

  /// Seconds until the deadline, 0 after it; nil when there is none.
  public var remainingSeconds: Double? {
    let own = deadline.map { max(0, ContinuousClock.now.duration(to: $0) / .seconds(1)) }
    guard let own, let others = parent?.remainingSeconds else {
      return own ?? parent?.remainingSeconds
    }
    return min(own, others)
  }

  /// Sampled tokens reserved so far, refunds deducted.
  public var reservedTokens: Int { state.withLock { $0.used.generated } }

  /// What ran out first, once something was refused for it.
  public var ended: Resource? { state.withLock { $0.ended } }

  /// What ran out of the whole run's budget: of the outermost ledger.
  var runEnded: Resource? { parent?.runEnded ?? (parent == nil ? ended : nil) }

  /// Whether the run's own deadline has passed, not only a part's.
  func notesRunDeadline() -> Bool { parent?.notesRunDeadline() ?? notesDeadline() }

  /// Whether the deadline has passed. Noted as what ended the run.
  @discardableResult
  public func notesDeadline() -> Bool {
    if let parent, parent.notesDeadline() {
      end(.seconds)
      return true
    }
    guard let deadline, ContinuousClock.now >= deadline else { return false }
    end(.seconds)
    return true
  }

  public func reserve(_ count: Int) -> Bool {
    reserve(count, .generated, flopsPerToken: flopsPerToken)
  }

  public func reservePrompt(_ count: Int) -> Bool {
    reserve(count, .prompt, flopsPerToken: flopsPerToken)
  }

  public func refund(_ count: Int) { refund(count, .generated, flopsPerToken: flopsPerToken) }

  /// A weaker model's tokens cost what the run's own do, which is not less than they take.
  public func reserveGuidance(_ count: Int) -> Bool {
    reserve(count, .guidance, flopsPerToken: flopsPerToken)
  }

  public func refundGuidance(_ count: Int) {
    refund(count, .guidance, flopsPerToken: flopsPerToken)
  }

  func reserve(_ count: Int, _ kind: Kind, flopsPerToken: Double) -> Bool {
    if notesDeadline() { return false }
    if let parent, !parent.reserve(count, kind, flopsPerToken: flopsPerToken) {
      end(parent.ended ?? .tokens)
      return false
    }
    let flops = Double(count) * flopsPerToken
    let refusal = state.withLock { state -> Resource? in
      if kind == .generated, let limit = budget.tokens, count > limit - state.used.generated {
        return .tokens
      }
      if let limit = budget.totalTokens, count > limit - state.used.total { return .totalTokens }
      if let limit = budget.flops, state.used.flops + flops > limit { return .flops }
      state.used.add(count, kind, flops)
      return nil
    }
    guard let refusal else { return true }
    end(refusal)
    parent?.refund(count, kind, flopsPerToken: flopsPerToken)
    return false
  }

  func refund(_ count: Int, _ kind: Kind, flopsPerToken: Double) {
    state.withLock { $0.used.add(-count, kind, -Double(count) * flopsPerToken) }
    parent?.refund(count, kind, flopsPerToken: flopsPerToken)
  }

  /// Tokens of a kind that may still be reserved; nil when nothing limits them.
  func left(_ kind: Kind, flopsPerToken: Double, atOnce limit: Int? = nil) -> Int? {
    let used = used
    var left = limit.map { $0 - used.generated }
    left = Self.smaller(left, budget.totalTokens.map { $0 - used.total })
    if let flops = budget.flops, flopsPerToken > 0 {
      let tokens = ((flops - used.flops) / flopsPerToken).rounded(.down)
      left = Self.smaller(left, Int(max(0, min(tokens, 1e15))))
    }
    guard let parent else { return left }
    return Self.smaller(
      left,
      parent.left(
        kind, flopsPerToken: flopsPerToken,
        atOnce: kind == .generated ? parent.budget.tokens : nil))
  }

  private func end(_ resource: Resource) {
    state.withLock { $0.ended = $0.ended ?? resource }
  }

  private static func smaller(_ a: Int?, _ b: Int?) -> Int? {
    guard let a, let b else { return a ?? b }
    return min(a, b)
  }
}

extension BudgetLedger.Used {
  fileprivate mutating func add(_ count: Int, _ kind: BudgetLedger.Kind, _ flops: Double) {
    switch kind {
    case .generated: generated += count
    case .prompt: prompt += count
    case .scored: scored += count
    case .guidance: guidance += count
    }
    self.flops += flops
  }
}

/// The gate of another model's tokens, all of which count as scored.
final class ScoringGate: TokenGate {
  private let flopsPerToken: Double
  /// Who pays now; nil when the run is gone, which has nothing left to pay with.
  private let ledger: @Sendable () -> BudgetLedger?

  init(flopsPerToken: Double, _ ledger: @escaping @Sendable () -> BudgetLedger?) {
    self.flopsPerToken = flopsPerToken
    self.ledger = ledger
  }

  var remainingTokens: Int? {
    guard let ledger = ledger() else { return 0 }
    return ledger.left(.scored, flopsPerToken: flopsPerToken)
  }

  func reserve(_ count: Int) -> Bool {
    ledger()?.reserve(count, .scored, flopsPerToken: flopsPerToken) ?? false
  }

  func reservePrompt(_ count: Int) -> Bool { reserve(count) }

  func refund(_ count: Int) { ledger()?.refund(count, .scored, flopsPerToken: flopsPerToken) }
}
