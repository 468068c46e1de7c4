import CMartlet

/// What a run has used so far.
public struct Usage: Sendable, Equatable {
  /// Tokens of prompts and of appended text.
  public let promptTokens: Int
  /// Sampled tokens of every branch.
  public let generatedTokens: Int
  /// Tokens that other models processed for scorers.
  public let scoredTokens: Int
  /// Bytes of keys and values held now, and the most held at once.
  public let kvBytes: UInt64
  public let peakKVBytes: UInt64
  /// Two for each parameter and processed token.
  public let flops: Double

  /// Tokens of all kinds.
  public var totalTokens: Int { promptTokens + generatedTokens + scoredTokens }
}

/// What a strategy that ran inside another one left.
public struct ChildResult {
  /// Its candidates, now the run's.
  public let candidates: [Candidate]
  /// The one it answered with; nil for none.
  public let answer: Candidate?
  /// A branch that holds the answer's text, yours to release.
  public let branch: Branch?
  /// How many tokens it sampled.
  public let tokens: Int
}

extension RunContext {
  /// Scores branches with the scorer of that id, with its default options, in place of the run's.
  public func score(_ branches: [Branch], by scorer: String) throws(PluginError) -> [Double] {
    let handles = branches.map { Optional($0.handle) }
    var scores = [Double](repeating: 0, count: branches.count)
    try table.check(
      table.host.pointee.score_by?(table.run, scorer, handles, UInt32(handles.count), &scores),
      "score_by")
    return scores
  }

  /// What the run's extractor finds in a text; nil when it finds no answer.
  /// - Throws: `notFound` when the run has no extractor.
  public func extract(from text: String) throws(PluginError) -> String? {
    if try capability("extractor") == 0 {
      throw PluginError(.notFound, "the run has no extractor")
    }
    do throws(PluginError) {
      return try table.readText("extract_text") { buffer, capacity, needed in
        text.withCharacters { characters, count in
          table.host.pointee.extract_text?(
            table.run, characters, count, buffer, capacity, needed)
        }
      }
    } catch  where error.code == .notFound {
      return nil
    }
  }

  /// Records a text that no branch holds as a candidate: a vote, a synthesis, a program's output.
  public func candidate(text: String, score: Double? = nil) throws(PluginError) -> Candidate {
    var index: UInt32 = 0
    let status = text.withCharacters { characters, count in
      table.host.pointee.candidate_text?(table.run, characters, count, &index)
    }
    try table.check(status, "candidate_text")
    if let score {
      try table.check(
        table.host.pointee.candidate_score?(table.run, index, score), "candidate_score")
    }
    return Candidate(index: Int(index))
  }

  /// Sets or replaces a candidate's score.
  public func setScore(_ score: Double, of candidate: Candidate) throws(PluginError) {
    try table.check(
      table.host.pointee.candidate_score?(table.run, UInt32(candidate.index), score),
      "candidate_score")
  }

  /// The answer of a candidate, as votes compare it; nil when it holds none.
  public func answer(of candidate: Candidate) throws(PluginError) -> String? {
    do throws(PluginError) {
      return try table.readText("candidate_answer") { buffer, capacity, needed in
        table.host.pointee.candidate_answer?(
          table.run, UInt32(candidate.index), buffer, capacity, needed)
      }
    } catch  where error.code == .notFound {
      return nil
    }
  }

  /// Names the answer for good. What ``answer(_:)`` names is provisional until then, or until the
  /// strategy returns.
  public func commit(_ candidate: Candidate) throws(PluginError) {
    try table.check(table.host.pointee.commit?(table.run, UInt32(candidate.index)), "commit")
  }

  /// Declares that no answer is worth giving; a later answer takes it back.
  public func abstain() throws(PluginError) {
    try table.check(table.host.pointee.abstain?(table.run), "abstain")
  }

  /// Runs another strategy inside this run and waits for its end. It sees the run's prompt, scorer
  /// and extractor, begins at `branch` (nil for the prompt), and never uses more than its part.
  /// - Throws: `notFound` or `argument` for the strategy or its options, `state` while branches are
  ///   submitted, `plugin` when it failed, `budget` or `cancelled` when the whole run ended.
  public func runChild(
    _ strategy: String, options: [String: String] = [:], from branch: Branch? = nil,
    tokens: Int? = nil, seconds: Double? = nil
  ) throws(PluginError) -> ChildResult {
    var result = martlet_child_result()
    result.size = UInt32(MemoryLayout<martlet_child_result>.size)
    let written = options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)\0" }.joined()
    let status = written.withCharacters { characters, count in
      strategy.withCString { name in
        var child = martlet_child()
        child.size = UInt32(MemoryLayout<martlet_child>.size)
        child.strategy = name
        child.options = count == 0 ? nil : characters
        child.options_length = count
        child.branch = branch?.handle
        child.tokens = UInt64(max(0, tokens ?? 0))
        child.seconds = seconds ?? 0
        return table.host.pointee.run_child?(table.run, &child, &result)
      }
    }
    try table.check(status, "run_child")
    let first = Int(result.first_candidate)
    return ChildResult(
      candidates: (first..<first + Int(result.candidate_count)).map { Candidate(index: $0) },
      answer: result.answer == .max ? nil : Candidate(index: Int(result.answer)),
      branch: result.branch.map { Branch(handle: $0, table: table) }, tokens: Int(result.tokens))
  }

  /// What the run has used so far.
  public func usage() throws(PluginError) -> Usage {
    var usage = martlet_usage()
    usage.size = UInt32(MemoryLayout<martlet_usage>.size)
    try table.check(table.host.pointee.usage?(table.run, &usage), "usage")
    return Usage(
      promptTokens: Int(usage.prompt_tokens), generatedTokens: Int(usage.generated_tokens),
      scoredTokens: Int(usage.scored_tokens), kvBytes: usage.kv_bytes,
      peakKVBytes: usage.peak_kv_bytes, flops: usage.flops)
  }

  /// What the host, the model or the run can do; `plugin.h` lists the names. 0 for a name that this
  /// host does not know.
  public func capability(_ name: String) throws(PluginError) -> Double {
    var value = 0.0
    do throws(PluginError) {
      try table.check(table.host.pointee.capability?(table.run, name, &value), "capability")
    } catch  where error.code == .notFound {
      return 0
    }
    return value
  }
}
