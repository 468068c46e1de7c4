import Foundation

extension RunResult: Encodable {
  private enum Key: String, CodingKey {
    case schema, answer, text, failure, seed, model, strategy, scorer, extractor, sampler, memory
    case attention, usage, timing
    case notes, candidates
    case answerCandidate = "answer_candidate"
    case stoppedBecause = "stopped_because"
  }

  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: Key.self)
    try fields.encode(Self.schema, forKey: .schema)
    try fields.encode(answer, forKey: .answer)
    try fields.encode(text, forKey: .text)
    try fields.encode(answerCandidate, forKey: .answerCandidate)
    try fields.encode(stoppedBecause, forKey: .stoppedBecause)
    try fields.encodeIfPresent(failure, forKey: .failure)
    // A string: JSON readers may round a 64-bit number.
    try fields.encode(String(seed), forKey: .seed)
    try fields.encode(model, forKey: .model)
    try fields.encode(strategy, forKey: .strategy)
    try fields.encode(scorer, forKey: .scorer)
    try fields.encode(extractor, forKey: .extractor)
    try fields.encodeIfPresent(sampler, forKey: .sampler)
    try fields.encodeIfPresent(memory, forKey: .memory)
    try fields.encodeIfPresent(attention, forKey: .attention)
    try fields.encode(usage, forKey: .usage)
    try fields.encode(timing, forKey: .timing)
    if !notes.isEmpty { try fields.encode(notes, forKey: .notes) }
    try fields.encode(candidates, forKey: .candidates)
  }

  /// The JSON object with its keys in alphabetical order, ending in a newline.
  public func json(pretty: Bool = true) throws(ScalingError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
    do {
      return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
    } catch {
      throw ScalingError(.engine, "the result cannot be written as JSON: \(error)")
    }
  }
}

extension RunResult.Usage: Encodable {
  private enum Key: String, CodingKey {
    case promptTokens = "prompt_tokens"
    case generatedTokens = "generated_tokens"
    case forcedTokens = "forced_tokens"
    case scoredTokens = "scored_tokens"
    case guidanceTokens = "guidance_tokens"
    case totalTokens = "total_tokens"
    case peakKVBytes = "peak_kv_bytes"
  }

  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: Key.self)
    try fields.encode(promptTokens, forKey: .promptTokens)
    try fields.encode(generatedTokens, forKey: .generatedTokens)
    try fields.encode(forcedTokens, forKey: .forcedTokens)
    try fields.encode(scoredTokens, forKey: .scoredTokens)
    try fields.encode(guidanceTokens, forKey: .guidanceTokens)
    try fields.encode(totalTokens, forKey: .totalTokens)
    try fields.encode(peakKVBytes, forKey: .peakKVBytes)
  }
}

extension RunResult.Timing: Encodable {
  private enum Key: String, CodingKey {
    case seconds, forwards
    case tokensPerSecond = "tokens_per_second"
    case cachedPromptTokens = "cached_prompt_tokens"
    case rolledBackTokens = "rolled_back_tokens"
    case draftedTokens = "drafted_tokens"
    case acceptedTokens = "accepted_tokens"
    case savedSteps = "saved_steps"
    case peakDraftKVBytes = "peak_draft_kv_bytes"
  }

  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: Key.self)
    try fields.encode(seconds, forKey: .seconds)
    try fields.encode(forwards, forKey: .forwards)
    try fields.encode(tokensPerSecond, forKey: .tokensPerSecond)
    try fields.encode(cachedPromptTokens, forKey: .cachedPromptTokens)
    try fields.encode(rolledBackTokens, forKey: .rolledBackTokens)
    try fields.encode(draftedTokens, forKey: .draftedTokens)
    try fields.encode(acceptedTokens, forKey: .acceptedTokens)
    try fields.encode(savedSteps, forKey: .savedSteps)
    try fields.encode(peakDraftKVBytes, forKey: .peakDraftKVBytes)
  }
}

extension RunResult.Candidate: Encodable {
  private enum Key: String, CodingKey {
    case text, answer, score, logprob, tokens, finished, stop
  }

  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: Key.self)
    try fields.encode(text, forKey: .text)
    try fields.encode(answer, forKey: .answer)
    try fields.encode(score, forKey: .score)
    try fields.encode(logprob, forKey: .logprob)
    try fields.encode(tokens, forKey: .tokens)
    try fields.encode(finished, forKey: .finished)
    try fields.encode(stop.description, forKey: .stop)
  }
}
