import Foundation
import MartletLab
import Testing

@Suite struct SuiteTests {
  @Test(arguments: Suite.generated.keys.sorted(), Grade.allCases)
  func generatedSuitesRepeatAndGrow(name: String, grade: Grade) throws {
    let few = try Suite(parsing: "\(name):\(grade)", seed: 5, limit: 6)
    let more = try Suite(parsing: "\(name):\(grade)", seed: 5, limit: 12)
    let other = try Suite(parsing: "\(name):\(grade)", seed: 6, limit: 6)
    #expect(few.problems.map(\.question) == more.problems.prefix(6).map(\.question))
    #expect(few.problems.map(\.id) == more.problems.prefix(6).map(\.id))
    #expect(few.problems.map(\.question) != other.problems.map(\.question))
    #expect(few.problems.count == 6)
  }

  @Test(arguments: ["calc", "arithmetic", "sudoku", "logic", "procedure"], Grade.allCases)
  func checkersTakeWhatIsExpectedAndNothingElse(name: String, grade: Grade) throws {
    for problem in try Suite(parsing: "\(name):\(grade)", seed: 3, limit: 25).problems {
      let expected = try #require(problem.expected)
      let text = name == "calc" ? " 1+1=2 #\(expected)" : "I think so.\nThe answer is \(expected)."
      #expect(try problem.check.isRight(answer: text, text: text), "\(problem.question)")
      // The first digit, or else the first letter, changed.
      var other = Array(expected)
      let place = other.firstIndex(where: \.isNumber) ?? 0
      other[place] = other[place] == "1" ? "2" : "1"
      for wrong in ["", "I do not know.", "#\(String(other))"] {
        #expect(try !problem.check.isRight(answer: wrong, text: wrong), "\(expected) and \(wrong)")
      }
    }
  }

  @Test func sudokuIsCheckedByItsRules() throws {
    for problem in try Suite(parsing: "sudoku:hard", seed: 1, limit: 20).problems {
      let check = try #require(problem.check as? SudokuCheck)
      let solutions = check.puzzle.solutions(limit: 3)
      #expect(solutions.count == 1)
      let rows = solutions[0].rows
      #expect(try check.isRight(answer: "", text: "12 then\n" + rows.joined(separator: "\n")))
      let swapped = [rows[1], rows[0], rows[2], rows[3]].joined(separator: "/")
      #expect(try !check.isRight(answer: "", text: swapped))
      // A grid by the rules that changes what was given.
      var other = solutions[0]
      let turned = other.cells.map { $0 % 4 + 1 }
      other.cells = turned
      #expect(other.isSolved)
      #expect(try !check.isRight(answer: "", text: other.rows.joined(separator: "/")))
    }
  }

  @Test func logicPuzzlesSayAllThatIsNeeded() throws {
    for problem in try Suite(parsing: "logic:hard", seed: 2, limit: 3).problems {
      let clues = problem.question.split(separator: "\n").filter { $0.hasPrefix("- ") }
      #expect(clues.count >= 4)
      let names = try #require(problem.expected)
      #expect(try problem.check.isRight(answer: "", text: "Ann? No: \(names)."))
      let last = names.split(separator: ", ").reversed().joined(separator: ", ")
      #expect(try !problem.check.isRight(answer: "", text: last))
    }
  }

  @Test func embeddedProblemsAreHeldOut() throws {
    for problem in EmbeddedProblem.draw(seed: 9, count: 200) {
      var key = problem.prompt
      if problem.family == .make {
        let words = problem.prompt.dropLast().split(separator: " ")
        let given = words[3...].compactMap { Int($0) }.sorted().map(String.init)
        key = "make \(words[1]) \(given.joined(separator: " "))"
        #expect(given.count == problem.size)
      }
      #expect(Checksum.crc32(key) % 8 == 0)
    }
    // As zlib computes it.
    #expect(Checksum.crc32("123456789") == 0xCBF4_3926)
  }

  /// Verdicts written by hand beside the model.
  @Test func embeddedChecksAgreeWithTheModelsOwn() throws {
    struct Verdict: Decodable {
      let family: String
      let prompt: String
      let answer: Int
      let completion: String
      let correct: Bool
      let why: String
    }
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Benchmarks/Model/golden/checker.json")
    let verdicts = try JSONDecoder().decode([Verdict].self, from: Data(contentsOf: path))
    #expect(verdicts.count > 50)
    for verdict in verdicts {
      let isRight =
        verdict.family == "make"
        ? MakeCheck(prompt: verdict.prompt)?.isRight(verdict.completion) ?? false
        : CalcCheck.answer(in: verdict.completion) == verdict.answer
      #expect(isRight == verdict.correct, "\(verdict.completion): \(verdict.why)")
    }
  }

  @Test(arguments: [
    ("The answer is 42.", "42", true), ("so it is $1,200.50", "1200.5", true),
    ("#### 42", "42", true), ("\\boxed{7} is it", "7", true), ("12-5", "5", true),
    ("The answer is -3", "-3", true), ("Answer: the Cat.", "the cat", true),
    ("I said 41\nand 42", "42", true), ("42 or 41", "42", false), ("Paris\n\n", "paris", true),
    ("", "4", false), ("It is 4200", "42", false),
  ])
  func finalAnswersAreFound(text: String, expected: String, isRight: Bool) throws {
    let check = TextCheck(expected: expected)
    #expect(try check.isRight(answer: text, text: text) == isRight)
  }

  @Test(arguments: [
    ("", "there is no suite ''"), ("none", "there is no suite 'none'"),
    ("make:tough", "has no grade 'tough'"), ("make+make", "names a part twice"),
    ("gone.jsonl", "gone.jsonl: the suite cannot be read"),
  ])
  func badSuitesAreNamed(text: String, message: String) {
    let error = #expect(throws: LabError.self) {
      try Suite(parsing: text, seed: 1, limit: 4)
    }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test(arguments: [
    ("{\"question\": \"a\"}", ":1: there is no 'answer' and no 'checker'"),
    ("{\"question\": \"a\", \"answer\": \"1\", \"checker\": \"true\"}", ":1: there are both"),
    ("\n{\"answer\": 1}", ":2: 'question' is missing"), ("[1]", ":1: this is no JSON object"),
    ("\n", "the suite has no problem"),
    (
      "{\"question\": \"a\", \"answer\": 1, \"id\": \"x\"}\n"
        + "{\"question\": \"b\", \"answer\": 1, \"id\": \"x\"}", "two problems with the id 'x'"
    ),
  ])
  func badLinesAreNamed(text: String, message: String) throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(text, to: "own.jsonl")
    let error = #expect(throws: LabError.self) { try Suite(parsing: file, seed: 1, limit: nil) }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test func ownProblemsAreReadAndChecked() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(
      """
      {"question": "2+2?", "answer": 4, "level": "ignored"}

      {"question": "say", "checker": "grep -q \\"$MARTLET_QUESTION yes\\"", "group": "words"}
      """, to: "own.jsonl")
    let problems = try Suite(parsing: file, seed: 1, limit: nil).problems
    #expect(problems.map(\.id) == ["own-1", "own-3"])
    #expect(problems.map(\.group) == ["own", "words"])
    #expect(try problems[0].check.isRight(answer: "4.0", text: ""))
    #expect(try problems[1].check.isRight(answer: "I say yes", text: ""))
    #expect(try !problems[1].check.isRight(answer: "no", text: ""))
    let missing = CommandCheck(command: "/no/such/checker", question: "", place: "own.jsonl:9")
    let error = #expect(throws: LabError.self) { try missing.isRight(answer: "", text: "") }
    #expect(error?.message.contains("own.jsonl:9") == true)
  }
}
