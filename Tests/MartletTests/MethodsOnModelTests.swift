import Martlet
import MartletScaling
import Testing

/// Every method that ships on the embedded model: too small to criticise itself, but each has to come to an end with an
/// answer, whatever the model writes where it is asked for a verdict, a number or a program.
@Suite struct MethodsOnModelTests {
  /// What methods need that have nothing to do without it.
  private static let options: [String: [String]] = [
    "reprompting": ["problems=calc 3 +4?=>7|calc 9 -2?=>7", "n=2", "sweeps=1"],
    "inference-program": ["plan=plan {error}", "plan_tokens=16", "plan_tries=2"],
    "pipeline": [
      """
      pipeline={"layers": [{"type": "generator", "n": 3}, {"type": "critic", "tokens": 8}, {"type": "ranker", "keep": 2},
      {"type": "fuser", "n": 2}, {"type": "verifier", "tokens": 8}, {"type": "voter"}]}
      """
    ],
    // Its context has 256 characters.
    "synthesis": ["n=2", "instruction={answers}"],
    "associated-thoughts": ["associate={text}", "simulations=8"],
    // So that the model, which never writes these by itself, has something to divide.
    "spawn-join": ["spawn= ", "spawn_end==", "separator=*", "task= ", "results= "],
  ]

  private func run(
    _ session: Session, _ prompt: String, _ strategy: String, scorer: String? = nil,
    tokens: Int = 320
  ) async throws -> RunResult {
    var request = RunRequest(prompt: prompt, strategy: strategy)
    try request.set(Self.options[strategy] ?? [])
    request.scorer = scorer
    request.budget = Budget(tokens: tokens)
    if strategy != "greedy" { request.sampling = Session.defaultSampling }
    request.seed = 2
    return try await session.scaling.run(request)
  }

  @Test func eachComesToAnEnd() async throws {
    let session = try Session()
    let ids = session.plugins.components.filter { $0.manifest.kind == .strategy }
      .map(\.manifest.id)
    #expect(ids.count > 50)
    for prompt in ["calc 17 *4 -23?", "make 46 from 3 7 25?\n---\nmake 9 from 2 3 3?"] {
      for id in ids {
        // Those that go on until an answer passes need somebody who can judge any prompt.
        let scorer = ["repeated-sampling", "saturation-stopping"].contains(id) ? "p-true" : nil
        do {
          let result = try await run(session, prompt, id, scorer: scorer)
          #expect(result.failure == nil, "\(id), \(prompt): \(result.failure ?? "")")
          #expect(!result.text.isEmpty || result.stoppedBecause == .abstained, "\(id), \(prompt)")
          #expect(!result.candidates.isEmpty, "\(id), \(prompt)")
          #expect(result.usage.generatedTokens <= 320, "\(id), \(prompt)")
        } catch {
          Issue.record("\(id), \(prompt): \(error)")
        }
      }
    }
    #expect(session.engine.pagesInUse == 0)
  }

  @Test(arguments: ["generative-judge", "p-true", "process-reward", "certainty", "mean-logprob"])
  func eachScorerJudges(scorer: String) async throws {
    let session = try Session()
    let result = try await run(
      session, "calc 17 *4 -23?", "best-of-n", scorer: scorer, tokens: 2000)
    #expect(result.failure == nil && result.scorer == scorer)
    let scores = result.candidates.compactMap(\.score)
    #expect(scores.count == 8 && Set(scores).count > 1)
    #expect(session.engine.pagesInUse == 0)
  }
}
