import CMartlet

/// Why a branch stopped advancing.
public enum Stop: UInt32, Sendable {
  /// It has not stopped; it can go on.
  case none = 0
  /// The model ended the sequence. Finished.
  case endOfSequence = 1
  /// A stop string of the run appeared. Finished.
  case string = 2
  /// The advance's delimiter appeared. Can go on.
  case step = 3
  /// The advance's token count was reached. Can go on.
  case tokens = 4
  /// The run's maximum tokens per branch. Finished.
  case length = 5
  /// The model's context is full. Finished.
  case context = 6
  /// A budget ended.
  case budget = 7
  /// The branch or the run was cancelled.
  case cancelled = 8
  /// The advance's limit of entropy was passed. Can go on.
  case entropy = 9
  /// A token was less likely than the advance's limit. Can go on.
  case logprob = 10
  /// The advance's `until` said so. Can go on.
  case callback = 11

  init(_ stop: martlet_stop) { self = Stop(rawValue: stop.rawValue) ?? .none }
}

/// A branch as it was at the moment it was asked.
public struct BranchState: Sendable, Equatable {
  /// Why it last stopped.
  public let stop: Stop
  /// True when it cannot go on.
  public let isFinished: Bool
  /// Tokens before the first generated one.
  public let promptTokens: Int
  /// Tokens generated so far.
  public let generatedTokens: Int
  /// KV pages its table names, shared ones included.
  public let kvPages: Int
  /// Sum of the untempered log-probabilities of its generated tokens, nats.
  public let logprob: Double
  /// Entropy of the model's distribution at its last token, nats.
  public let lastEntropy: Double

  /// Finished by the model itself: the sequence ended or a stop string appeared.
  public var isComplete: Bool { stop == .endOfSequence || stop == .string }
}

/// How far to advance; nil means no such limit.
public struct Advance: Sendable, Equatable {
  /// Stop each branch after this many more tokens.
  public var maxTokens: Int?
  /// Stop each branch when its new text contains one of these; the delimiter stays in the text.
  public var delimiters: [String]
  /// Stop each branch after a token before which the model's entropy was above this, nats.
  public var entropyAbove: Double?
  /// Stop each branch after a token whose log-probability was below this, nats.
  public var logprobBelow: Double?
  /// Rules for drawing these tokens in place of the run's, `temperature=0.8,top-p=0.95`, or with a
  /// leading `+` on top of them, `+temperature=0`.
  public var sampling: String?
  /// Whether delimiters are looked for from where the branch's last advance began, so that one which a
  /// stop cut in two is found.
  public var continues = false

  /// Advances until the branch finishes, or to the nearest of the limits given.
  public init(
    maxTokens: Int? = nil, delimiter: String? = nil, delimiters: [String] = [],
    entropyAbove: Double? = nil, logprobBelow: Double? = nil, sampling: String? = nil
  ) {
    self.maxTokens = maxTokens
    self.delimiters = delimiters + [delimiter].compactMap(\.self)
    self.entropyAbove = entropyAbove
    self.logprobBelow = logprobBelow
    self.sampling = sampling
  }
}

/// A branch of the run: a prompt and what was generated after it.
///
/// A handle, not an owner: the run releases what is left when the strategy returns. Use it on the
/// strategy's thread; reading functions work from any thread.
public struct Branch: Hashable {
  let handle: martlet_branch
  let table: HostTable

  public static func == (a: Branch, b: Branch) -> Bool { a.handle == b.handle }
  public func hash(into hasher: inout Hasher) { hasher.combine(handle) }

  /// The branch as it is now.
  public func state() throws(PluginError) -> BranchState {
    var state = martlet_branch_state()
    state.size = UInt32(MemoryLayout<martlet_branch_state>.size)
    try table.check(table.host.pointee.state?(table.run, handle, &state), "state")
    return BranchState(
      stop: Stop(state.stop), isFinished: state.finished != 0,
      promptTokens: Int(state.prompt_tokens), generatedTokens: Int(state.generated_tokens),
      kvPages: Int(state.kv_pages), logprob: state.logprob, lastEntropy: state.last_entropy)
  }

  /// The generated text so far, without the prompt and without the stop string.
  public func text() throws(PluginError) -> String {
    try table.readText("text") { buffer, capacity, needed in
      table.host.pointee.text?(table.run, handle, buffer, capacity, needed)
    }
  }

  /// The generated token ids.
  public func tokens() throws(PluginError) -> [Int32] {
    try table.read("tokens", Int32(0)) { buffer, capacity, needed in
      table.host.pointee.tokens?(table.run, handle, buffer, capacity, needed)
    }
  }

  /// The untempered log-probabilities of the generated tokens, nats.
  public func logprobs() throws(PluginError) -> [Float] {
    try table.read("logprobs", Float(0)) { buffer, capacity, needed in
      table.host.pointee.logprobs?(table.run, handle, buffer, capacity, needed)
    }
  }

  /// Entropies of the model's own distribution at the generated tokens, nats; appended ones repeat
  /// the last.
  public func entropies() throws(PluginError) -> [Float] {
    try table.read("entropies", Float(0)) { buffer, capacity, needed in
      table.host.pointee.entropies?(table.run, handle, buffer, capacity, needed)
    }
  }

  /// The model's hidden state after the last token, behind the final norm: what the logits of the next
  /// token are computed from. The branch stays as it is.
  /// - Throws: `unsupported` where the model has none to give (`capability("hidden_size")` is 0), `state`
  ///   for a finished branch.
  public func hiddenState() throws(PluginError) -> [Float] {
    try table.read("hidden_state", Float(0)) { buffer, capacity, needed in
      table.host.pointee.hidden_state?(table.run, handle, buffer, capacity, needed)
    }
  }

  /// Child indices from the run's root down: what its draws are keyed by.
  public func path() throws(PluginError) -> [UInt32] {
    try table.read("path", UInt32(0)) { buffer, capacity, needed in
      table.host.pointee.path?(table.run, handle, buffer, capacity, needed)
    }
  }

  /// A child from which text can go on also where this branch is finished: without the token that
  /// ended the sequence, or what came of the stop string.
  public func reopened() throws(PluginError) -> Branch {
    var child: martlet_branch?
    try table.check(table.host.pointee.reopen?(table.run, handle, &child), "reopen")
    return try table.branches([child], "reopen")[0]
  }

  /// Gives back the pages that this branch alone holds, and returns their bytes. Its text is processed
  /// again, to the same bits, when it goes on.
  @discardableResult
  public func demote() throws(PluginError) -> UInt64 {
    var bytes: UInt64 = 0
    try table.check(table.host.pointee.demote?(table.run, handle, &bytes), "demote")
    return bytes
  }

  /// Appends tokens as if generated; they cost prompt tokens.
  public func append(tokens: [Int32]) throws(PluginError) {
    try table.check(
      table.host.pointee.append_tokens?(table.run, handle, tokens, tokens.count), "append_tokens")
  }

  /// Makes `count` children that share all pages with this branch until they differ.
  /// - Throws: `memory` or `budget` when they cannot be made; then none is.
  public func fork(_ count: Int) throws(PluginError) -> [Branch] {
    guard let count32 = UInt32(exactly: count) else {
      throw PluginError(.argument, "fork: count \(count) is out of range")
    }
    var children = [martlet_branch?](repeating: nil, count: count)
    try table.check(table.host.pointee.fork?(table.run, handle, count32, &children), "fork")
    return try table.branches(children, "fork")
  }

  /// KV bytes that `count` forks would take after each wrote one token.
  public func forkCost(_ count: Int) throws(PluginError) -> UInt64 {
    guard let count32 = UInt32(exactly: count) else {
      throw PluginError(.argument, "fork_cost: count \(count) is out of range")
    }
    var bytes: UInt64 = 0
    try table.check(table.host.pointee.fork_cost?(table.run, handle, count32, &bytes), "fork_cost")
    return bytes
  }

  /// Drops generated tokens so that `generatedTokens` remain; going on draws afresh.
  public func truncate(toGenerated generatedTokens: Int) throws(PluginError) {
    guard let keep = UInt32(exactly: generatedTokens) else {
      throw PluginError(.argument, "truncate: \(generatedTokens) tokens is out of range")
    }
    try table.check(table.host.pointee.truncate?(table.run, handle, keep), "truncate")
  }

  /// Appends text as if generated; it costs prompt tokens, not sampled ones.
  public func append(_ text: String) throws(PluginError) {
    let status = text.withCharacters { characters, count in
      table.host.pointee.append_text?(table.run, handle, characters, count)
    }
    try table.check(status, "append_text")
  }

  /// Stops a submitted branch at the next token; it produces no event.
  public func cancel() throws(PluginError) {
    try table.check(table.host.pointee.cancel?(table.run, handle), "cancel")
  }

  /// Gives the branch up; its unshared pages return at once.
  public func release() throws(PluginError) {
    try table.check(table.host.pointee.release?(table.run, handle), "release")
  }

  /// A 64-bit random number for (run seed, this branch's path, `index`).
  public func random(_ index: UInt64) throws(PluginError) -> UInt64 {
    var value: UInt64 = 0
    try table.check(table.host.pointee.random?(table.run, handle, index, &value), "random")
    return value
  }

  /// The answer that the run's extractor finds in the text, or nil when it finds none.
  public func extract() throws(PluginError) -> String? {
    do throws(PluginError) {
      return try table.readText("extract") { buffer, capacity, needed in
        table.host.pointee.extract?(table.run, handle, buffer, capacity, needed)
      }
    } catch  where error.code == .notFound {
      return nil
    }
  }
}

extension HostTable {
  /// Wraps handles that a host call returned.
  func branches(_ handles: [martlet_branch?], _ call: StaticString) throws(PluginError) -> [Branch]
  {
    var result: [Branch] = []
    result.reserveCapacity(handles.count)
    for handle in handles {
      guard let handle else { throw PluginError(.internal, "\(call): the host gave a null branch") }
      result.append(Branch(handle: handle, table: self))
    }
    return result
  }
}
