/// Guessed tokens behind a text: a tree whose root, node 0, is the last token of the text.
///
/// Children of one node are drafts of one position and are tested in the order in which they were
/// added. Rows of the target's distribution belong to nodes, row i to node i.
public struct DraftTree: Sendable, Equatable {
  private(set) var parents: [UInt32] = [0]
  private(set) var tokenIDs: [UInt32] = [0]
  private(set) var laws: [Int32] = [-1]

  /// The root alone.
  public init() {}

  /// A chain of tokens, the first below the root.
  ///
  /// - Parameter laws: the row of the drafter's distributions that each was drawn from; nil for
  ///   tokens that were chosen without chance.
  public init(chain tokens: [Int], laws: [Int]? = nil) {
    precondition(laws == nil || laws?.count == tokens.count, "as many laws as tokens")
    for (index, token) in tokens.enumerated() {
      add(token, below: index, law: laws?[index])
    }
  }

  /// Nodes, the root included.
  public var count: Int { parents.count }

  /// Adds a draft and returns its node.
  ///
  /// - Parameters:
  ///   - token: 0 ..< 2³².
  ///   - parent: a node that is there.
  ///   - law: the row of the drafter's distributions that the token was drawn from; nil for a token that
  ///     was chosen without chance (n-gram, trie, a sibling's text).
  @discardableResult
  public mutating func add(_ token: Int, below parent: Int, law: Int? = nil) -> Int {
    precondition(parent >= 0 && parent < count, "node \(parent) of \(count)")
    precondition(law == nil || law! >= 0, "row \(law ?? 0) of the drafter's distributions")
    parents.append(UInt32(parent))
    tokenIDs.append(UInt32(token))
    laws.append(law.map { Int32($0) } ?? -1)
    return count - 1
  }

  /// The token of a node; 0 for the root.
  public func token(_ node: Int) -> Int { Int(tokenIDs[node]) }
  /// The parent of a node; 0 for the root.
  public func parent(_ node: Int) -> Int { Int(parents[node]) }
}

/// How the drafts of one position were drawn, and so how they are tested. All keep the target's
/// distribution exactly; `include/martlet/verify.h` has the methods and their sources.
public enum DraftRule: String, Sendable, CaseIterable {
  /// Independent drafts, each tested against what the rejected ones have left.
  case recursive
  /// The same for drafts drawn from one law without replacement.
  case distinct
  /// Independent drafts of one law, reduced to one by importance and tested once.
  case weighted
}

/// What verification keeps of a draft.
public struct VerifiedDraft: Sendable, Equatable {
  /// The nodes kept, from below the root.
  public let path: [Int]
  /// The token that follows them, drawn by the target.
  public let token: Int

  public init(path: [Int], token: Int) {
    self.path = path
    self.token = token
  }
}
