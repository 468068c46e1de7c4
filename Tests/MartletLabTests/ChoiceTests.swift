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
    record.options = ["n": "8"]
    record.correct = pattern.contains(true)
    record.usage.totalTokens = 10 * pattern.count
    record.timing.seconds = 0.5
    return record
  }

  /// Half of the problems easy, half hard; a search is right on all, at ten times the price.
  private var records: [RunRecord] {
    (0..<120).flatMap { problem in
      let easy = problem % 2 == 0
      let pattern = (0..<8).map { easy ? $0 != problem % 8 : $0 == problem % 8 }
      var search = sampleRecord(problem: "p\(problem)", strategy: "beam-search:step= ")
      search.options = ["step": " "]
      search.correct = true
      search.usage.totalTokens = 400
      return [drawn(problem, pattern, "best-of-n:n=8"), search]
    }
  }

  @Test func hardProblemsAreToldFromEasyOnesByTheFirstAnswers() throws {
    let table = try ChoiceTable(records, bins: 2)
    let lines = table.text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(lines[0] == ["martlet-choices", "2"])
    #expect(lines[1][0...4] == ["kind", "*", "4", "40", "40"])
    let rows = lines.filter { $0[0] == "row" }
    func row(_ bin: String, _ spec: String) -> [Double]? {
      rows.first { $0[1] == bin && $0[8] == spec }.map { $0[2...6].compactMap { Double($0) } }
    }
    // Right on all of the easy ones and on none of the hard ones, drawn towards what bin and strategy alone give.
    #expect(try #require(row("1", "pilot"))[0] > 0.9)
    #expect(try #require(row("0", "pilot"))[0] < 0.4)
    #expect(try #require(row("-", "beam-search:step=\\s"))[1...3] == [400, 0, 400])
    #expect(row("-", "pilot") == nil)
    #expect(lines.filter { $0[0] == "bin" }.map { $0[1...] } == [["0", "0.5"], ["1", "0.5"]])
    // Too few problems for two bins make one.
    let few = try ChoiceTable(Array(records.prefix(120)), bins: 2)
    #expect(few.text.contains("bin 0 1\n") && !few.text.contains("bin 1"))
  }

  @Test func aLimitThatNeverHeldIsNoRowOfItsOwn() throws {
    var all = records
    for index in records.indices {
      for limit in [50, 500] {
        var record = records[index]
        record.budget = "tokens=\(limit)"
        record.usage.generatedTokens = min(limit, record.usage.totalTokens)
        all.append(record)
      }
    }
    let text = try ChoiceTable(all).text
    let rows = text.split(separator: "\n").filter { $0.hasPrefix("row - ") }
      .map { $0.split(separator: " ").suffix(2).joined(separator: " ") }
    #expect(rows.contains("50 best-of-n:n=8") && rows.contains("500 beam-search:step=\\s"))
    // 400 tokens are within 500, with and without the limit: here 0 generated was recorded without.
    #expect(rows.count == 6)
    for index in all.indices where all[index].budget == "none" {
      all[index].usage.generatedTokens = all[index].usage.totalTokens
    }
    let fewer = try ChoiceTable(all).text.split(separator: "\n").filter { $0.hasPrefix("row - ") }
    #expect(fewer.count == 4, "\(fewer)")
  }

  @Test func promptsWithACheckerAreAKindOfTheirOwn() throws {
    var records = records
    for index in records.indices where records[index].problem.hasSuffix("0") {
      records[index].scorer = "exact-checker"
      for candidate in records[index].candidates.indices {
        let isRight = records[index].candidates[candidate].correct
        records[index].candidates[candidate].score = isRight ? 1 : 0
      }
    }
    for index in records.indices where records[index].strategy.hasPrefix("beam") {
      records[index].correct = records[index].problem.hasSuffix("0")
    }
    #expect(
      !(try ChoiceTable(records)).text.contains("kind exact-checker"), "12 problems are too few")
    records += records.map {
      var other = $0
      other.problem = "q" + other.problem
      return other
    }
    let text = try ChoiceTable(records).text
    let parts = text.components(separatedBy: "kind ").dropFirst()
    #expect(parts.map { $0.prefix { $0 != " " } } == ["-", "exact-checker", "*"])
    func right(_ part: String) -> Double? {
      part.split(separator: "\n").first { $0.hasPrefix("row - ") && $0.contains("beam") }
        .flatMap { Double($0.split(separator: " ")[2]) }
    }
    let shares = parts.compactMap(right)
    #expect(shares[0] < 0.05 && shares[1] > 0.95 && shares[2] < 0.2, "\(shares)")
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

  private static let head = "martlet-choices 2\nkind * 4 8 8 0 -9 0 0 0\n"

  private func auto(
    _ table: String, tokens: Int? = nil, prompt: String = sumWorld.prompt
  ) async throws -> RunResult {
    var request = RunRequest(prompt: prompt, strategy: "auto")
    request.options["choices"] = table
    request.budget.tokens = tokens
    request.seed = 3
    return try await makeSession(sumWorld).run(request)
  }

  @Test func theBestThatFitsIsRun() async throws {
    let table =
      Self.head + "row - 0.7 10 10 12 0 0 best-of-n:n=2\nbin 0 1\nrow 0 0.5 0 0 0 0 0 pilot\n"
      + "row 0 0.9 100 120 120 0 0 best-of-n:n=6\nrow 0 0.8 20 30 30 0 0 best-of-n:n=3\n"
      + "row 0 0.8 25 30 30 0 0 best-of-n:n=5\n"
    #expect(try await auto(table).candidates.count == 4 + 6)
    // Eight tokens are drawn first; the best needs 120 more, of the others the cheaper wins.
    #expect(try await auto(table, tokens: 100).candidates.count == 4 + 3)
    // Nothing but their own answer fits behind them, and two answers of one kind are right more often.
    #expect(try await auto(table, tokens: 30).candidates.count == 2)
    // They alone would be too much.
    #expect(try await auto(table, tokens: 7).candidates.count <= 2)
  }

  @Test func answersAreDrawnFirstOnlyWhereThatPays() async throws {
    let bins = "bin 0 0.5\nrow 0 0.5 20 30 30 0 0 best-of-n:n=3\nbin 1 0.5\n"
    let blind = "row - 0.7 20 30 30 0 0 best-of-n:n=2\n"
    // No bin gains by another strategy: the looking would be for nothing.
    let same =
      Self.head.replacing("0 0 0\n", with: "0 0 0 0.5\n") + blind + bins
      + "row 1 0.9 20 30 30 0 0 best-of-n:n=3\n"
    #expect(try await auto(same).candidates.count == 2)
    // Half of the prompts are answered by then: as often right, for less.
    let sooner = same.replacing("row 0 0.5 20", with: "row 0 0.5 5") + "row 1 0.9 0 0 0 0 0 pilot\n"
    #expect(try await auto(sooner).candidates.count == 4 + 3)
  }

  @Test func aPromptThatAScorerJudgesIsAKindOfItsOwn() async throws {
    let table =
      Self.head + "row - 0.5 9 9 9 0 0 best-of-n:n=5\nkind exact-checker 4 8 8 0 -9 0 0 0\n"
      + "row - 0.5 9 9 9 0 0 best-of-n:n=2\nkind - 4 8 8 0 -9 0 0 0\nrow - 0.5 9 9 9 0 0 best-of-n:n=3\n"
    #expect(try await auto(table, prompt: "make 4 from 2 2?").candidates.count == 2)
    #expect(try await auto(table).candidates.count == 3)
    let unknown = table.replacing("kind - ", with: "kind gone ")
    #expect(try await auto(unknown).candidates.count == 5)
  }

  @Test func aLimitHoldsWhereMoreWasMeasuredAndNotChosen() async throws {
    // Two answers take six tokens.
    let small = "row - 0.8 4 4 6 0 4 best-of-n:n=2\n"
    #expect(try await auto(Self.head + small, tokens: 50).usage.generatedTokens > 4)
    let both = Self.head + small + "row - 0.8 6 6 8 0 20 best-of-n:n=2\n"
    #expect(try await auto(both, tokens: 50).usage.generatedTokens == 4)
  }

  @Test func whatIsLearnedIsReadAgain() async throws {
    var records = records
    for index in records.indices where records[index].strategy.hasPrefix("beam") {
      // Spaces, new lines and separators in an option.
      records[index].strategy = "diversified-prompts:…"
      records[index].options = ["n": "2", "prompts": "{prompt} a\nb:c|{prompt}"]
      records[index].usage.totalTokens = 20
    }
    let table = try ChoiceTable(records, bins: 1)
    let result = try await auto(table.text)
    // As often right as eight answers of best-of-n, for less.
    #expect(result.candidates.count == 2, "\(table.text)")
  }

  @Test func figuresThatCannotBeReadAreRefused() async throws {
    for (table, part) in [
      ("", "martlet eval --learn"), ("martlet-choices 1\n", "martlet-choices 2"),
      (Self.head + "row 0 x 1 1 1 0 0 pilot\n", "line 3 of 'choices': 'x' is no number"),
      (Self.head + "row 0 0.5\n", "a row has 8 words"), (Self.head, "lacks its rows"),
      (Self.head + "rows\n", "'rows' is unknown"), ("martlet-choices 2\n", "kind of all prompts"),
      ("martlet-choices 2\nkind * 4\n", "a kind has 9 words"),
      ("martlet-choices 2\nkind * 0 1 1 0 0 0 0 0\n", "1 to 1024 answers"),
      ("martlet-choices 2\nbin 0 1\n", "'bin' is unknown here"),
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
