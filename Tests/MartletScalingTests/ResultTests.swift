import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// The events of a trace as Perfetto would read them.
func traceEvents(_ trace: TraceRecorder) throws -> [[String: Any]] {
  let document = try #require(
    try JSONSerialization.jsonObject(with: trace.json()) as? [String: Any])
  return try #require(document["traceEvents"] as? [[String: Any]])
}

@Suite struct ResultTests {
  @Test func theObjectHasItsKeys() async throws {
    let (session, _) = try makeSession(makeWorld)
    let seed = UInt64.max - 1
    let result = try await session.run(request(makeWorld.prompt, "best-of-n", ["n=4"], seed: seed))
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(result.json().utf8)) as? [String: Any])
    #expect(
      Set(object.keys) == [
        "schema", "answer", "answer_candidate", "text", "stopped_because", "seed", "model",
        "strategy", "scorer", "extractor", "usage", "timing", "candidates",
      ])
    #expect(object["schema"] as? Int == 1)
    #expect(object["seed"] as? String == "18446744073709551614")
    #expect(object["stopped_because"] as? String == "finished")
    let usage = try #require(object["usage"] as? [String: Int])
    #expect(
      Set(usage.keys) == [
        "prompt_tokens", "generated_tokens", "forced_tokens", "guidance_tokens", "scored_tokens",
        "total_tokens",
        "peak_kv_bytes",
      ])
    #expect(
      usage["total_tokens"]
        == usage["prompt_tokens"]! + usage["generated_tokens"]! + usage["scored_tokens"]!)
    #expect(usage["prompt_tokens"] == 1)
    #expect(usage["peak_kv_bytes"]! > 0)
    let timing = try #require(object["timing"] as? [String: Any])
    #expect((timing["seconds"] as? Double ?? 0) > 0)
    let candidates = try #require(object["candidates"] as? [[String: Any]])
    #expect(candidates.count == 4)
    for candidate in candidates {
      #expect(
        Set(candidate.keys) == ["text", "answer", "score", "logprob", "tokens", "finished", "stop"])
    }
  }

  @Test func stopCausesAreTheDocumentedList() {
    #expect(
      RunResult.StopCause.allCases.map(\.rawValue) == [
        "finished", "length", "context", "budget_tokens", "budget_seconds", "budget_total_tokens",
        "budget_flops", "budget_kv_bytes", "not_recorded", "abstained", "cancelled",
        "plugin_failed", "plugin_hung",
      ])
  }

  @Test func aTraceShowsForwardsBranchesForksAndTheStrategy() async throws {
    let (session, _) = try makeSession(makeWorld)
    let trace = TraceRecorder()
    let result = try await session.run(
      request(makeWorld.prompt, "self-consistency", ["n=4"]), trace: trace)
    let events = try traceEvents(trace)
    for event in events {
      let phase = try #require(event["ph"] as? String)
      #expect(["M", "X", "i", "s", "f"].contains(phase))
      #expect(event["pid"] as? Int == 1 && event["tid"] is Int && event["ts"] is NSNumber)
      if phase == "X" { #expect((event["dur"] as? Double ?? -1) >= 0) }
    }
    func named(_ name: String, _ phase: String) -> [[String: Any]] {
      events.filter { $0["name"] as? String == name && $0["ph"] as? String == phase }
    }
    #expect(named("forward", "X").count == result.timing.forwards)
    #expect(named("advance", "X").count == 4)
    #expect(named("fork", "s").count == 4)
    #expect(named("fork", "f").count == 4)
    #expect(named("vote", "i").count == 1)
    let branches = events.filter {
      (($0["args"] as? [String: Any])?["name"] as? String)?.hasPrefix("branch ") == true
    }
    #expect(branches.count == 5)
    let tokens = events.filter { ($0["args"] as? [String: Any])?["token"] != nil }
    #expect(tokens.count == result.usage.generatedTokens)
  }

  @Test func aTraceIsWrittenWholeOrNotAtAll() async throws {
    let (session, _) = try makeSession(makeWorld)
    let trace = TraceRecorder()
    let result = try await session.run(request(makeWorld.prompt, "greedy"), trace: trace)
    let folder = try TemporaryFolder()
    try trace.write(to: "\(folder.path)/trace.json", result: result)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["trace.json"])
    let error = #expect(throws: ScalingError.self) {
      try trace.write(to: "\(folder.path)/none/trace.json")
    }
    #expect(error?.code == .file)
    #expect(error?.message.contains("none/trace.json") == true)
  }
}
