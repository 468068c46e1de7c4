import Foundation
import MartletEngine
import MartletLab
import MartletScaling
import Testing

/// What `auto` learns from records, and what it does with it.
@Suite struct ChoiceTests {
  /// A run of best-of-n whose answers are `right` where `pattern` says so, with the others all different.
  private func drawn(_ problem: Int, _ pattern: [Bool], _ strategy: String) -> RunRecord {
    var record = sampleRecord(problem: "p\(problem)", strategy: strategy)
    record.candidates = pattern.enumerated().map { index, right in
      RunRecord.Candidate(
        text: "", answer: right ? "4" : "w\(index)", score: nil, logprob: right ? -1 : -4,
        tokens: 10,
        finished: true, stop: "end", correct: right)
    }
    record.correct = pattern.contains(true)
    record.usage.totalTokens = 10 * pattern.count
    record.timing.seconds = 0.5
    return record
  }

  /// Half of the problems easy, half hard; a search is right on all, at ten times the price.
  private var records: [RunRecord] {
    (0..<60).flatMap { problem in
      let easy = problem % 2 == 0
      let pattern = (0..<8).map { easy ? $0 != problem % 8 : $0 == problem % 8 }
      var search = sampleRecord(problem: "p\(problem)", strategy: "beam-search:step= ")
      search.correct = true
      search.usage.totalTokens = 400
      return [drawn(problem, pattern, "best-of-n:n=8"), search]
    }
  }

  @Test func hardProblemsAreToldFromEasyOnesByTheFirstAnswers() throws {
    let table = try ChoiceTable(records, bins: 2)
    let lines = table.text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(lines[0] == ["martlet-choices", "1"])
    #expect(lines[1][0...2] == ["pilot", "4", "40"])
    let rows = lines.filter { $0[0] == "row" }
    func row(_ bin: String, _ spec: String) -> [Double]? {
      rows.first { $0[1] == bin && $0[7] == spec }.map { $0[2...5].compactMap { Double($0) } }
    }
    // 30 of 30 right, drawn towards a half; hard ones by their first four answers, 12 or so of 30.
    #expect(row("1", "pilot")?[0] == 0.983871)
    #expect(try #require(row("0", "pilot"))[0] < 0.6)
    #expect(try #require(row("-", "beam-search:step=\\s"))[1...2] == [400, 400])
    #expect(row("-", "pilot") == nil)
  }

  @Test func figuresComeFromBestOfNOnEnoughProblems() {
    for records in [
      [], Array(records.prefix(30)), records.filter { $0.strategy.hasPrefix("beam") },
    ] {
      do {
        _ = try ChoiceTable(records)
        Issue.record("choices were learned from too little")
      } catch {
        #expect(error.message.contains("best-of-n"))
      }
    }
  }

  private static let head = "martlet-choices 1\npilot 4 8 0\nweights -9 0 0 0\n"

  private func auto(_ table: String, tokens: Int? = nil) async throws -> RunResult {
    var request = RunRequest(prompt: sumWorld.prompt, strategy: "auto")
    request.options["choices"] = table
    request.budget.tokens = tokens
    request.seed = 3
    return try await makeSession(sumWorld).run(request)
  }

  @Test func theBestThatFitsIsRun() async throws {
    let table =
      Self.head + "row - 0.7 10 10 0 0 best-of-n:n=2\nrow 0 0.5 0 0 0 0 pilot\n"
      + "row 0 0.9 100 120 0 0 best-of-n:n=6\nrow 0 0.8 20 30 0 0 best-of-n:n=3\n"
      + "row 0 0.8 25 30 0 0 best-of-n:n=5\n"
    #expect(try await auto(table).candidates.count == 4 + 6)
    // Eight tokens are drawn first; the best needs 120 more, of the others the cheaper wins.
    #expect(try await auto(table, tokens: 100).candidates.count == 4 + 3)
    // Nothing fits behind them.
    #expect(try await auto(table, tokens: 30).candidates.count == 4)
    // They alone would be too much.
    #expect(try await auto(table, tokens: 20).candidates.count == 2)
  }

  @Test func whatIsLearnedIsReadAgain() async throws {
    var records = records
    for index in records.indices where records[index].strategy.hasPrefix("beam") {
      // Spaces, new lines and separators in an option.
      records[index].strategy = "diversified-prompts:n=2:prompts={prompt} a\nb\\:c|{prompt}"
      records[index].usage.totalTokens = 20
    }
    let table = try ChoiceTable(records, bins: 1)
    let result = try await auto(table.text.replacing("pilot 4 40", with: "pilot 4 1"))
    #expect(result.candidates.count == 4 + 2, "\(table.text)")
  }

  @Test func figuresThatCannotBeReadAreRefused() async throws {
    for (table, part) in [
      ("", "martlet eval --learn"), ("martlet-choices 2\n", "martlet-choices 1"),
      (Self.head + "row 0 x 1 1 0 0 pilot\n", "line 4 of 'choices': 'x' is no number"),
      (Self.head + "row 0 0.5\n", "a row has 7 words"), (Self.head, "lacks its pilot"),
      (Self.head + "rows\n", "'rows' is unknown"),
    ] {
      do {
        _ = try await auto(table)
        Issue.record("'\(table)' was read")
      } catch {
        #expect("\(error)".contains(part), "\(error)")
      }
    }
  }
}
