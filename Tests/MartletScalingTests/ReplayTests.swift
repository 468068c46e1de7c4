import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// Runs with a recorder; the result and the trace.
private func record(
  _ request: RunRequest, _ session: ScalingSession
) async throws -> (result: RunResult, trace: Data) {
  let recorder = TraceRecorder()
  let result = try await session.run(request, trace: recorder)
  return (result, try recorder.json(result: result))
}

private func sumRequest(
  _ id: String, _ options: [String], seed: UInt64 = 1, budget: Budget = Budget()
) throws -> RunRequest {
  var request = try request(sums.prompt, id, options, seed: seed, maxTokens: 12, budget: budget)
  request.extractor = "final-answer"
  request.judge = { reward($0.text) }
  return request
}

@Suite("Replaying a run without its model")
struct ReplayTests {
  @Test("every method decides again what it decided", arguments: methods)
  func same(id: String, options: [String]) async throws {
    let (session, _) = try makeJudged()
    for seed in UInt64(1)...3 {
      let (fresh, trace) = try await record(sumRequest(id, options, seed: seed), session)
      let again = try await Replay(trace, plugins: shipped).run()
      #expect(again.withoutTiming == fresh.withoutTiming, "seed \(seed)")
    }
  }

  @Test("a smaller budget gives what a fresh run with it gives", arguments: methods)
  func smallerBudget(id: String, options: [String]) async throws {
    let (session, _) = try makeJudged()
    let (whole, trace) = try await record(sumRequest(id, options, seed: 4), session)
    let replay = try Replay(trace, plugins: shipped)
    for tokens in Set([2, 5, 9, 17]) where tokens < whole.usage.generatedTokens {
      let budget = Budget(tokens: tokens)
      let fresh = try await session.run(sumRequest(id, options, seed: 4, budget: budget))
      let again = try await replay.run {
        $0.budget = budget
        $0.judge = { reward($0.text) }
      }
      // What a strategy does with less may be what it never did with more; a replay says so.
      if again.stoppedBecause == .notRecorded { continue }
      #expect(again.withoutTiming == fresh.withoutTiming, "\(tokens) tokens")
    }
  }

  @Test("fewer samples, another way to choose and another judge are those of fresh runs")
  func changes() async throws {
    let (session, _) = try makeJudged()
    let (_, trace) = try await record(sumRequest("best-of-n", ["n=16"], seed: 9), session)
    let replay = try Replay(trace, plugins: shipped)
    #expect(replay.strategy == "best-of-n" && replay.model == "simulation")
    for (id, options) in [
      ("best-of-n", ["n=5"]), ("self-consistency", ["n=16"]), ("self-consistency", ["n=7"]),
      ("weighted-voting", ["n=16"]), ("repeated-sampling", ["cap=12"]),
    ] {
      let fresh = try await session.run(sumRequest(id, options, seed: 9))
      let again = try await replay.run { request in
        request.strategy = id
        request.options = [:]
        try request.set(options)
      }
      #expect(again.withoutTiming == fresh.withoutTiming, "\(id) \(options)")
    }
    var judged = try sumRequest("best-of-n", ["n=16"], seed: 9)
    judged.judge = { -reward($0.text) }
    let fresh = try await session.run(judged)
    let again = try await replay.run { $0.judge = { -reward($0.text) } }
    #expect(again.withoutTiming == fresh.withoutTiming)
  }

  @Test("where the recorded run did not go, the replay ends and says so")
  func notRecorded() async throws {
    let (session, _) = try makeJudged()
    let (_, trace) = try await record(sumRequest("best-of-n", ["n=3"]), session)
    let replay = try Replay(trace, plugins: shipped)
    let more = try await replay.run { $0.options = ["n": "4"] }
    #expect(more.stoppedBecause == .notRecorded)
    #expect(more.failure?.contains("where the recorded run did not") == true)
    #expect(!more.answer.isEmpty)
    // Texts that it never judged, or never cut into tokens.
    let unjudged = try await replay.run { $0.budget.tokens = 1 }
    #expect(unjudged.stoppedBecause == .notRecorded)
    #expect(unjudged.failure?.contains("never saw") == true)
    let uncut = try await replay.run {
      $0.strategy = "self-refine"
      $0.options = ["critique": "what is wrong with {prompt}", "rewrite": "again {prompt}"]
    }
    #expect(uncut.stoppedBecause == .notRecorded)
    #expect(uncut.failure?.contains("never cut 'what is wrong") == true)
  }

  @Test("a run on another model that cannot be replayed is named")
  func otherModels() async throws {
    let (session, engine) = try makeJudged()
    let recorder = TraceRecorder()
    let result = try await session.run(sumRequest("best-of-n", ["n=2"]), trace: recorder)
    let guided = try engine.makeRun(
      prompt: sums.promptTokens, seed: 1, guidance: Guidance(by: .text(sums.prompt), scale: 2))
    let opened = OpenedModel(engine: engine, surroundings: ModelSurroundings())
    recorder.recording.attach(guided, model: "critic", opened)
    do {
      _ = try Replay(try recorder.json(result: result), plugins: shipped)
      Issue.record("it was read as one that can be replayed")
    } catch {
      #expect(error.message.contains("on the model 'critic', its choices were guided"))
    }
  }

  @Test("what cannot be replayed is refused with the reason")
  func refusals() async throws {
    func refusal(_ data: Data) -> String {
      do { _ = try Replay(data, name: "x.json", plugins: shipped) } catch { return "\(error)" }
      return ""
    }
    #expect(refusal(Data("{".utf8)).contains("x.json is no trace"))
    #expect(refusal(Data(#"{"otherData": {}}"#.utf8)).contains("martlet run --trace"))
    do {
      _ = try Replay(contentsOf: "/nowhere/x.json")
      Issue.record("a file that is not there was read")
    } catch {
      #expect(error.message.contains("/nowhere/x.json"))
    }
    let (session, _) = try makeJudged()
    let (_, trace) = try await record(sumRequest("best-of-n", ["n=2"]), session)
    let text = String(decoding: trace, as: UTF8.self)
    let newer = text.replacingOccurrences(of: #""schema":1"#, with: #""schema":9"#)
    #expect(refusal(Data(newer.utf8)).contains("version 9"))
  }
}
