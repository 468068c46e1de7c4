import Foundation
import MartletLab
import MartletScaling
import Testing

@Suite struct ReportTests {
  /// Records of strategies that get the first `right` of `problems` right.
  private func records(_ strategies: [(name: String, right: Int)], problems: Int) -> [RunRecord] {
    strategies.flatMap { name, right in
      (0..<problems).map { problem in
        var record = sampleRecord(problem: "p\(problem)", strategy: name)
        record.correct = problem < right
        record.answer = "<b>\(problem)</b>"
        record.answerCandidate = 0
        record.usage.generatedTokens = 100 + right
        record.usage.totalTokens = 120 + right
        record.candidates = [
          RunRecord.Candidate(
            text: "&<script>alert(1)</script>", answer: nil, score: nil, logprob: -1, tokens: 3,
            finished: true, stop: "end", correct: record.correct)
        ]
        return record
      }
    }
  }

  private func report(_ records: [RunRecord]) -> Report {
    let plan = EvalPlan(suite: sumSuite(1), strategies: [])
    return Report(settings: EvalSettings(plan, model: "simulation"), records: records)
  }

  @Test func aRealDifferenceIsCalledReal() {
    let text = report(records([("greedy", 20), ("better", 60)], problems: 100)).sentences
    #expect(text.count == 1)
    #expect(text[0].contains("better got most right: 60.0 % (50.2 to 69.1) of 100 problems"))
    #expect(text[0].contains("The difference to greedy is real: +40.0 points"))
    #expect(text[0].contains("p < 0.0001"))
  }

  @Test func aDifferenceByChanceIsNotCalledReal() {
    let text = report(records([("greedy", 50), ("other", 53)], problems: 100)).sentences[0]
    #expect(text.contains("do not tell it apart from greedy (+3.0 points"))
    #expect(text.contains("The cheapest of these is greedy: 170 tokens a problem"))
    #expect(!text.contains("real"))
  }

  @Test func manyComparisonsNeedMore() {
    // Six problems of difference are p = 0.03 alone; among 10 comparisons that is nothing.
    let alone = EvalAnalysis(records([("a", 10), ("b", 16)], problems: 40))
    #expect(alone.comparisons[0].isReal)
    let many = EvalAnalysis(
      records([("a", 10), ("b", 16), ("c", 10), ("d", 10), ("e", 10)], problems: 40))
    #expect(many.comparisons.count == 10)
    #expect(many.comparison("none", "b", "a")?.isReal == false)
    #expect(many.comparison("none", "b", "a")?.difference.mean == 0.15)
    #expect(many.comparison("none", "a", "b")?.difference.mean == -0.15)
  }

  @Test func thePageStandsAloneAndEscapesWhatModelsWrite() throws {
    let html = report(records([("greedy", 5), ("a&b", 7)], problems: 12)).html
    #expect(!html.contains("<script"))
    #expect(html.contains("&amp;&lt;script&gt;alert(1)"))
    for outside in ["src=", "href=", "url(", "@import", "http"] { #expect(!html.contains(outside)) }
    #expect(!html.contains("nan") && !html.contains("inf\""))
    // Every element that opens closes.
    for tag in ["section", "details", "table", "svg", "figure", "ol", "tr", "p"] {
      func count(_ text: String) -> Int { html.components(separatedBy: text).count - 1 }
      #expect(count("<\(tag)>") + count("<\(tag) ") == count("</\(tag)>"), "\(tag)")
    }
  }

  @Test func aReportOfRunsIsWritten() async throws {
    let folder = try TemporaryFolder()
    var plan = EvalPlan(
      suite: sumSuite(12),
      strategies: try StrategySpec.list(parsing: "greedy,self-consistency:n=8,best-of-n:n=4"),
      seeds: 2)
    plan.sampling.temperature = 1
    try EvalSettings(plan, model: "simulation").claim(folder: folder.path)
    try await EvalRunner(
      session: makeSession(sumWorld), plan: plan,
      file: RecordFile(path: "\(folder.path)/records.jsonl"), jobs: 4
    ).run()
    let report = try Report(folder: folder.path)
    try report.write(to: folder.path)
    let voted = try #require(report.analysis.cell("self-consistency:n=8", "none"))
    #expect(voted.coverage?.points.map(\.k) == [1, 2, 4, 8])
    #expect(voted.calibration?.source == .score)
    #expect(Set(voted.groups.keys) == ["odd", "even"])
    #expect(voted.runs == 24 && voted.problems == 12)
    let html = try String(contentsOfFile: "\(folder.path)/report.html", encoding: .utf8)
    for part in [
      "Best at each budget", "is that real?", "Strategies", "Coverage", "Calibration",
      "Stopped early",
    ] {
      #expect(html.contains(part))
    }
    let summary = try JSONSerialization.jsonObject(
      with: Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/summary.json")))
    #expect((summary as? [String: Any])?["schema"] as? Int == 1)
  }

  @Test func ticksAreRoundAndFew() {
    for range in [0.001...0.004, 1...2, 3...40, 100...90_000, 1e3...1e9] {
      for isLogarithmic in [false, true] {
        let ticks = Axis(range: range, isLogarithmic: isLogarithmic).ticks
        #expect((2...8).contains(ticks.count), "\(range) \(ticks)")
        #expect(
          ticks.allSatisfy { $0 >= range.lowerBound * 0.999 && $0 <= range.upperBound * 1.001 })
      }
    }
  }
}
