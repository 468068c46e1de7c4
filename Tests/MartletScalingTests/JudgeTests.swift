import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

@Suite struct ExactCheckerTests {
  private func score(_ prompt: String, _ text: String) throws -> Double {
    try TextJudge(plugins: shipped, scorer: "exact-checker")
      .score(JudgedText(prompt: prompt, text: text))
  }

  @Test(arguments: [
    (" 3*7=21 21+25=46 #", 1.0),
    ("3*7=21 21+25=46 #\n", 1),
    (" 7*3=21 25+21=46 #\nmake 3 from", 1),
    (" 3*7=21 21+25=46", 0),  // no end
    (" 3*7=21 21+25=46 # ", 0),  // something after the end
    (" 3*7=21  21+25=46 #", 0),  // two spaces
    ("  3*7=21 21+25=46 #", 0),
    (" 3*7=22 22+25=47 #", 0),  // wrong arithmetic
    (" 3*7=21 #", 0),  // a number unused
    (" 3*7=21 21+25=46 46+3=49 49-3=46 #", 0),  // a number used twice
    (" 3*7=21 21+25=46 #46", 0),
    (" 03*7=21 21+25=46 #", 0),  // leading zero
    (" 7-3=4 4+25=29 #", 0),  // not the target
    ("", 0), ("#", 0), (" #", 0), (" 3*7 #", 0), (" 3*7=21=21 #", 0), (" 3/7=0 #", 0),
    (" ٣*7=21 21+25=46 #", 0),
  ])
  func verdicts(text: String, expected: Double) throws {
    #expect(try score("make 46 from 3 7 25?", text) == expected, "\(text)")
  }

  @Test func negativeNumbersAreNumbers() throws {
    #expect(try score("make 8 from 3 5 10?", " 3-5=-2 10+-2=8 #") == 1)
    #expect(try score("make 12 from 3 5 10?", " 3-5=-2 10--2=12 #") == 1)
    #expect(try score("make -2 from 3 5?", " 3-5=-2 #") == 1)
    #expect(try score("make 3 from 3 0?", " 3--0=3 #") == 0)
  }

  @Test func bigNumbersDoNotOverflow() throws {
    let big = "999999999999999999"
    #expect(try score("make 1 from \(big) \(big)?", " \(big)*\(big)=1 #") == 0)
    #expect(try score("make 0 from \(big) \(big)?", " \(big)-\(big)=0 #") == 1)
    #expect(try score("make 1 from 2 3?", " 99999999999999999999+2=1 #") == 0)
    let sum = "1999999999999999998"
    #expect(try score("make 1 from \(big) \(big)?", " \(big)+\(big)=\(sum) #") == 0)
  }

  @Test(arguments: [
    "calc 17 *4 -23?", "make 46 from 3 7 25", "make 46 from?", "make x from 1 2?", "", "make 46",
    "Make 46 from 3 7 25?", "make 46 from 3  7?", "make 046 from 3 7?",
  ])
  func otherPromptsAreNotJudged(prompt: String) throws {
    let error = #expect(throws: ScalingError.self) { try score(prompt, " 3*7=21 #") }
    #expect(error?.code == .plugin)
  }

  @Test func agreesWithTheGeneratorsOwnChecker() throws {
    let verdicts = try GoldenVerdict.all().filter { $0.family == "make" }
    #expect(verdicts.count > 50)
    for verdict in verdicts {
      // Prompts that are not of this kind are wrong to the generator and unsupported here.
      let score = (try? score(verdict.prompt, verdict.completion)) ?? 0
      #expect(score == (verdict.correct ? 1 : 0), "\(verdict)")
    }
  }
}

/// What the task generator's own checker says, written by Benchmarks/Model.
struct GoldenVerdict: Decodable {
  let family: String
  let prompt: String
  let completion: String
  let answer: Int64?
  let correct: Bool

  static func all() throws -> [GoldenVerdict] {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Benchmarks/Model/golden/checker.json")
    return try JSONDecoder().decode([GoldenVerdict].self, from: Data(contentsOf: file))
  }
}

@Suite struct FinalAnswerTests {
  @Test(arguments: [
    (" 17*4=68 68-23=45 45+45=90 #90", "90"),
    (" 3*7=21 21+25=46 #", "3*7=21 21+25=46 #"),
    ("So 6*7 = 42.\n#### 42", "42"),
    ("#### 1,234.50", "1234.5"),
    ("#### blue whale.", "blue whale"),
    ("# Conclusion\nThe answer is 7", "7"),
    ("We get \\boxed{\\frac{1}{2}} here", "\\frac{1}{2}"),
    ("\\boxed{3} or rather \\boxed{ 004 }", "4"),
    ("The answer is 42 apples.", "42"),
    ("The final answer is: **Paris**.", "Paris"),
    ("Answer: -7", "-7"),
    ("first 3, then 5-2 gives 3 and 12", "12"),
    ("it is \u{2212}5", "-5"),
    ("10-4", "4"),
    ("costs $1,200.00", "1200"),
    ("50%", "50"),
    ("007", "7"), ("-0.0", "0"), ("+3", "3"), ("3.10", "3.1"), (".5", "5"),
  ])
  func answers(text: String, expected: String) throws {
    let judge = try TextJudge(plugins: shipped, extractor: "final-answer")
    #expect(try judge.extract(JudgedText(prompt: "", text: text)) == expected)
  }

  @Test func findsTheAnswersThatTheGeneratorCountsAsRight() throws {
    let judge = try TextJudge(plugins: shipped, extractor: "final-answer")
    for verdict in try GoldenVerdict.all() where verdict.family == "calc" && verdict.correct {
      // A line break ends an answer there.
      let line = String(verdict.completion.prefix { $0 != "\n" })
      let answer = try judge.extract(JudgedText(prompt: verdict.prompt, text: line))
      #expect(answer == verdict.answer.map { String($0) }, "\(verdict)")
    }
  }

  @Test(arguments: ["", "no numbers at all", "\\boxed{", "#", "the answer is"])
  func textsWithoutAnAnswer(text: String) throws {
    let judge = try TextJudge(plugins: shipped, extractor: "final-answer")
    let answer = try judge.extract(JudgedText(prompt: "", text: text))
    #expect(answer == nil, "\(answer ?? "")")
  }
}

@Suite struct MeanLogprobTests {
  @Test func isTheMean() throws {
    let judge = try TextJudge(plugins: shipped, scorer: "mean-logprob")
    func score(_ logprobs: [Float]) throws -> Double {
      try judge.score(JudgedText(prompt: "", text: "x", logprobs: logprobs))
    }
    #expect(try score([-1, -2, -0.5, -0.5]) == -1)
    #expect(try score([-0.25]) == -0.25)
    #expect(try score([]) < score([-1e30]))
    #expect(try score([-.infinity]).isFinite)
  }
}

@Suite("What other models process within a run within a run") struct ChildScoringTests {
  @Test("is charged to whoever is at work, and to nobody who has ended")
  func payers() async throws {
    let plugin = try FixturePlugin("scores_around_child")
    let world = HashedWorld(seed: 5, endBias: -.infinity)
    let engine = try Engine(backend: SimulatedBackend(world: world))
    let other = try Engine(backend: SimulatedBackend(world: HashedWorld(seed: 8)))
    let opened = OpenedModel(engine: other, surroundings: ModelSurroundings(parameters: 10))
    let session = ScalingSession(
      engine: engine, plugins: plugin.host, model: "simulation",
      surroundings: ModelSurroundings(parameters: 1, open: { _ in opened }))
    var wanted = try request("abc", plugin.id, maxTokens: 20)
    wanted.scorer = "process-reward"
    let result = try await session.run(wanted)
    #expect(result.text == "score 0, 1 then 1", "\(result.failure ?? "")")
    #expect(result.usage.scoredTokens > 0 && engine.pagesInUse == 0 && other.pagesInUse == 0)
    // The run pays for both: an allowance for the child's part alone does not reach.
    wanted.budget.flops = 2 * Double(result.usage.totalTokens)
    let short = try await session.run(wanted)
    #expect(short.stoppedBecause != .finished || short.text != result.text)
    #expect(short.usage.scoredTokens < result.usage.scoredTokens)
  }
}
