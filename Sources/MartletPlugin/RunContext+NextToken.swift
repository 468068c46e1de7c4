import CMartlet
import Glibc

/// What the model thinks comes next after a branch: its own distribution, without rules.
public struct NextToken: Sendable, Equatable {
  /// A token that may come.
  public struct Choice: Sendable, Equatable {
    /// Its id.
    public let token: Int32
    /// Its log-probability, nats.
    public let logprob: Float
  }

  /// Of the whole distribution, nats.
  public let entropy: Double
  /// The likeliest tokens, in order.
  public let top: [Choice]
  /// Log-probabilities of the tokens asked about, nats.
  public let logprobs: [Float]
}

extension RunContext {
  /// What the model thinks comes next after each branch: the `top` likeliest tokens and the
  /// log-probabilities of `tokens`. One batch, one row of logits each; nothing is drawn, and the
  /// branches stay as they are.
  /// - Throws: `state` for a finished branch; ``Branch/reopened()`` makes one that is not.
  public func nextTokens(
    _ branches: [Branch], top: Int = 0, tokens: [Int32] = []
  ) throws(PluginError) -> [NextToken] {
    guard let top32 = UInt32(exactly: top), top <= 1 << 20 else {
      throw PluginError(.argument, "nextTokens: \(top) is no number of tokens to read")
    }
    var choices = [martlet_choice](
      repeating: martlet_choice(), count: max(1, branches.count * top))
    var logprobs = [Float](repeating: 0, count: max(1, branches.count * tokens.count))
    var entropies = [Double](repeating: 0, count: max(1, branches.count))
    let handles = branches.map { Optional($0.handle) }
    let status = choices.withUnsafeMutableBufferPointer { choices in
      logprobs.withUnsafeMutableBufferPointer { logprobs in
        entropies.withUnsafeMutableBufferPointer { entropies in
          tokens.withUnsafeBufferPointer { tokens in
            var query = martlet_next_token()
            query.size = UInt32(MemoryLayout<martlet_next_token>.size)
            query.top = top32
            query.tokens = tokens.baseAddress
            query.token_count = tokens.count
            query.choices = choices.baseAddress
            query.logprobs = logprobs.baseAddress
            query.entropies = entropies.baseAddress
            return table.host.pointee.next_token?(
              table.run, handles, UInt32(handles.count), &query)
          }
        }
      }
    }
    try table.check(status, "next_token")
    return branches.indices.map { index in
      NextToken(
        entropy: entropies[index],
        top: choices[index * top..<(index + 1) * top].filter { $0.token >= 0 }
          .map { .init(token: $0.token, logprob: $0.logprob) },
        logprobs: Array(logprobs[index * tokens.count..<(index + 1) * tokens.count]))
    }
  }

  /// How likely the model finds each of `labels` after `probe` is appended to each branch: the
  /// probability of the label's first token. What all labels begin with alike is appended as well, and
  /// the probabilities are then given that. The branches stay as they are; each costs the probe's tokens
  /// and one row of logits, with its keys and values shared.
  ///
  /// - Parameter onOtherModel: whether the branches are another model's, whose tokens labels are then
  ///   read in; that appends them once to a fork.
  /// - Returns: for each branch a probability for each label; they need not add up to 1. All are 0 where its context
  ///   has no room for the probe.
  /// - Throws: `argument` for labels that are empty, or that their first token past what they have in
  ///   common does not tell apart.
  public func labelProbabilities(
    _ branches: [Branch], probe: String, labels: [String], onOtherModel: Bool = false
  ) throws(PluginError) -> [[Double]] {
    guard !branches.isEmpty else { return [] }
    var probes: [(index: Int, branch: Branch)] = []
    defer { for probe in probes { try? probe.branch.release() } }
    for (index, branch) in branches.enumerated() {
      let asked = try branch.reopened()
      let hasRoom = try ifRoom { () throws(PluginError) in try asked.append(probe) } != nil
      if hasRoom { probes.append((index, asked)) } else { try asked.release() }
    }
    var probabilities = branches.map { _ in labels.map { _ in 0.0 } }
    guard let any = probes.first?.branch else { return probabilities }
    var spelled: [[Int32]] = []
    for label in labels {
      spelled.append(try onOtherModel ? Self.tokens(of: label, after: any) : tokens(of: label))
    }
    let common = Self.commonStart(spelled)
    var firsts: [Int32] = []
    for (label, tokens) in zip(labels, spelled) {
      guard let first = tokens.dropFirst(common.count).first, !firsts.contains(first) else {
        throw PluginError(
          .argument, "labelProbabilities: '\(label)' is empty or begins as another label does")
      }
      firsts.append(first)
    }
    var asked = probes
    if !common.isEmpty {
      // Without room for what the labels have in common nothing can be read: 0, as without room for the probe.
      asked = []
      for probe in probes {
        let hasRoom =
          try ifRoom { () throws(PluginError) in try probe.branch.append(tokens: common) } != nil
        if hasRoom { asked.append(probe) }
      }
      if asked.isEmpty { return probabilities }
    }
    for (probe, next) in zip(asked, try nextTokens(asked.map(\.branch), tokens: firsts)) {
      probabilities[probe.index] = next.logprobs.map { exp(Double($0)) }
    }
    return probabilities
  }

  /// The tokens with which several lists begin alike; none for a single list.
  private static func commonStart(_ lists: [[Int32]]) -> [Int32] {
    guard lists.count > 1 else { return [] }
    return lists.dropFirst().reduce(lists[0]) { start, list in
      Array(zip(start, list).prefix { $0 == $1 }.map(\.0))
    }
  }

  /// A text in the tokens of a branch's model.
  private static func tokens(of text: String, after branch: Branch) throws(PluginError) -> [Int32] {
    let fork = try branch.reopened()
    defer { try? fork.release() }
    let before = try fork.state().generatedTokens
    try fork.append(text)
    return Array(try fork.tokens().dropFirst(before))
  }
}
