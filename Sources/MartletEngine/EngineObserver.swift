import MartletModel

/// One thing that happened in a run, with the time it happened.
public struct EngineTraceEvent: Sendable, Equatable {
  /// What happened.
  public enum Kind: Sendable, Equatable {
    /// A forward pass began. `rows` tokens in all, `runRows` of them this run's, of which
    /// `decodeRows` single next tokens and the rest prompt or appended text.
    case forwardBegan(index: Int, rows: Int, runRows: Int, decodeRows: Int)
    /// The forward pass of that index ended.
    case forwardEnded(index: Int)
    /// A branch drew a token.
    case token(path: BranchPath, token: Token, logprob: Float)
    /// A branch was forked into children `first` ..< `first + count`.
    case forked(path: BranchPath, first: Int, count: Int)
    /// A population was replaced by children of its members.
    case resampled(population: Int, results: Int)
    /// A branch was cut to so many generated tokens.
    case truncated(path: BranchPath, generated: Int)
    /// A branch lost `tokens` of its generated tokens, from the one of index `first` on.
    case dropped(path: BranchPath, first: Int, tokens: Int)
    /// Tokens were appended to a branch.
    case appended(path: BranchPath, tokens: Int)
    /// A branch with a prompt of its own was opened.
    case opened(path: BranchPath, tokens: Int)
    /// A branch gave back the pages that it alone held; its text is processed again when it goes on.
    case demoted(path: BranchPath, pages: Int)
    /// A branch started to advance.
    case submitted(path: BranchPath)
    /// A branch stopped.
    case stopped(path: BranchPath, reason: StopReason, generated: Int)
    /// A branch's draft ended: `nodes` tokens were processed on trial in the forward pass of index
    /// `forward`, and `accepted` of them were drawn.
    case drafted(path: BranchPath, forward: Int, nodes: Int, accepted: Int)
    /// With the forward pass of index `forward` guessing was found to pay (`isOn`) or not to, for
    /// passes that decode about `branches` branches: guesses from `source`, which is `text` or a
    /// drafter's name. `balance`: the seconds that may be lost on trying. No text depends on it.
    case draftingDecided(
      forward: Int, branches: Int, source: String, isOn: Bool, balance: Double)
    /// A branch was given up.
    case released(path: BranchPath)
  }

  /// Nanoseconds on a monotonic clock.
  public let nanoseconds: UInt64
  /// What happened.
  public let kind: Kind
}

/// Receives what happens in a run, for traces.
///
/// Called with the engine's lock held, in order, from any thread: an implementation stores the
/// event and returns, and never calls the engine.
public protocol EngineObserver: AnyObject, Sendable {
  /// Records one event.
  func record(_ event: EngineTraceEvent)
}
