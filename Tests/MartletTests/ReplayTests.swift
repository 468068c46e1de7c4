import Foundation
import Martlet
import Testing

/// Replays of runs of the embedded model: with a constraint, drafts, a scorer that is a model, probes.
@Suite struct ReplayTests {
  private let session: Session
  private let prompt = "calc 17 *4 -23 +45?"

  init() throws { session = try Session() }

  private func record(_ request: RunRequest) async throws -> (result: RunResult, trace: Data) {
    let recorder = TraceRecorder()
    let result = try await session.scaling.run(request, trace: recorder)
    return (result, try recorder.json(result: result))
  }

  private func request(_ strategy: String, _ options: [String]) throws -> RunRequest {
    var request = RunRequest(prompt: prompt, strategy: strategy)
    try request.set(options)
    request.sampling = Session.defaultSampling
    request.seed = 5
    return request
  }

  @Test(arguments: [
    ("best-of-n", ["n=4"], "process-reward"),
    ("beam-search", ["width=2", "expand=2"], "process-reward"),
    ("self-consistency", ["n=6"], nil), ("answer-convergence", [], nil), ("greedy", [], nil),
    ("momentum-uncertainty", [], nil), ("particle-filter", ["n=4"], "mean-logprob"),
  ])
  func decidesAgain(strategy: String, options: [String], scorer: String?) async throws {
    var request = try request(strategy, options)
    request.scorer = scorer
    request.drafting = try Drafting.parse("siblings")
    let (fresh, trace) = try await record(request)
    let again = try await Replay(trace, plugins: session.plugins).run()
    #expect(again.withoutTiming == fresh.withoutTiming)
    #expect(again.usage.scoredTokens > 0 || scorer != "process-reward")
  }

  @Test func forcedTextIsInTheRecord() async throws {
    var request = try request("best-of-n", ["n=3"])
    request.scorer = "mean-logprob"
    request.constraint = try Constraint.regex("[0-9]{1,3}( [0-9]{1,3}){2}= #[0-9]")
    let (fresh, trace) = try await record(request)
    let again = try await Replay(trace, plugins: session.plugins).run()
    #expect(fresh.usage.forcedTokens > 0)
    #expect(again.withoutTiming == fresh.withoutTiming)
  }

  @Test func aGuidedRunIsRefused() async throws {
    var request = try request("sample", [])
    request.guidance = Guidance(by: .text("calc 1 +1?"), scale: 1.5)
    let (_, trace) = try await record(request)
    do {
      _ = try Replay(trace, plugins: session.plugins)
      Issue.record("a guided run was read as one that can be replayed")
    } catch {
      #expect("\(error)".contains("guided"))
    }
  }
}
