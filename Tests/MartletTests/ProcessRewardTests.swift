import Foundation
import Martlet
import Testing

/// The process reward model that comes with Martlet, alone and behind the scorer that asks it.
///
/// `prm.json` holds a right and a wrong answer to each of some held-out problems, and what PyTorch makes
/// of them (`Benchmarks/Model/evaluate_prm.py --golden`).
@Suite(.serialized) struct ProcessRewardTests {
  private struct Case: Decodable {
    let prompt: String
    let text: String
    let right: Bool
    /// At the prompt's end, after every space of the text, and at its end.
    let rewards: [Double]
  }

  private let cases: [Case]
  private let judge: Session

  init() throws {
    let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Fixtures/prm.json")
    cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: fixture))
    let path = try #require(EmbeddedModel.path(of: "martlet-arith-prm"))
    judge = try Session(Session.Configuration(modelPath: path))
  }

  /// The steps of a text, each with the space that ends it.
  private func steps(of text: String) -> [String] {
    var steps = [""]
    for character in text {
      steps[steps.count - 1].append(character)
      if character == " " { steps.append("") }
    }
    return steps.last == "" ? steps.dropLast() : steps
  }

  /// What the model says at the prompt's end and after every step, read one after another.
  private func rewards(_ prompt: String, _ text: String) throws -> [Double] {
    let codec = judge.tokenizer
    let run = try judge.engine.makeRun(
      prompt: codec.encode(prompt, addSpecial: true, parseSpecial: false))
    let labels = NextTokenQuery(
      tokens: ["+", "-"].flatMap { codec.encode($0, addSpecial: false, parseSpecial: false) })
    return try ([""] + steps(of: text)).map { step in
      if !step.isEmpty { try run.root.append(text: step) }
      let next = try run.nextTokensBlocking([run.root], labels)[0]
      let odds = next.logprobs.map { exp(Double($0)) }
      return odds[0] / (odds[0] + odds[1])
    }
  }

  private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

  @Test func rewardsArePyTorchs() throws {
    #expect(cases.count >= 20)
    for item in cases {
      let found = try rewards(item.prompt, item.text)
      try #require(found.count == item.rewards.count, "\(item.prompt)\(item.text)")
      for (reward, expected) in zip(found, item.rewards) {
        // Activations of either engine are rounded to fewer bits on their way.
        #expect(abs(reward - expected) < 0.02, "\(item.prompt)\(item.text): \(found)")
      }
    }
  }

  @Test func anAnswerIsJudgedAsItsWholeTextAndRightOnesHigher() async throws {
    let session = try Session()
    let checker = try TextJudge(plugins: session.plugins, scorer: "exact-checker")
    var (right, wrong): ([Double], [Double]) = ([], [])
    for item in cases where item.right {
      var request = RunRequest(prompt: item.prompt, strategy: "best-of-n")
      request.options = ["n": "8"]
      request.scorer = "process-reward"
      request.sampling = Session.defaultSampling
      let result = try await session.scaling.run(request)
      #expect(result.candidates.count == 8)
      #expect(result.usage.scoredTokens > 0)
      let scores = try result.candidates.map { try #require($0.score) }
      #expect(scores[try #require(result.answerCandidate)] == scores.max())
      for (candidate, score) in zip(result.candidates, scores) {
        let direct = try #require(rewards(item.prompt, candidate.text).last)
        #expect(abs(score - direct) < 1e-3, "\(item.prompt)\(candidate.text)")
        let isRight =
          item.prompt.hasPrefix("make")
          ? try checker.score(JudgedText(prompt: item.prompt, text: candidate.text)) == 1
          : candidate.text.split(separator: "#").last == item.text.split(separator: "#").last
        if isRight { right.append(score) } else { wrong.append(score) }
      }
    }
    try #require(right.count > 20 && wrong.count > 20)
    #expect(mean(right) > mean(wrong) + 0.1, "\(mean(right)) and \(mean(wrong))")
    #expect(session.engine.pagesInUse == 0)
  }

  @Test func particlesAreJudgedAtTheEndsOfTheirSteps() async throws {
    let session = try Session()
    let item = try #require(cases.first { $0.prompt.hasPrefix("calc") })
    var request = RunRequest(prompt: item.prompt, strategy: "particle-filter")
    request.options = ["n": "8", "step": " "]
    request.scorer = "process-reward"
    request.sampling = Session.defaultSampling
    let result = try await session.scaling.run(request)
    for candidate in result.candidates {
      #expect(candidate.text.contains("="))
      #expect(try (0...1).contains(#require(candidate.score)))
    }
    #expect(session.engine.pagesInUse == 0)
  }

  @Test("a verifier on another model judges several answers in one batch")
  func verifiersOnAnotherModel() async throws {
    let session = try Session()
    let result = try await session.run(
      "make 60 from 18 5 24?", strategy: "critique",
      options: [
        "n": "3", "rounds": "1", "verifier": "martlet-arith-prm", "verify": "{prompt}",
        "rewrite": "{prompt}",
        "verify_tokens": "2", "verdict": "", "yes": "+", "no": "-",
      ], seed: 1)
    #expect([.finished, .length].contains(result.stoppedBecause), "\(result.failure ?? "")")
    #expect(result.usage.scoredTokens > 0 && result.candidates.count == 3)
    #expect(session.engine.pagesInUse == 0)
  }
}
