import Foundation
import Testing

@Suite struct EvalTests {
  private let arguments = ["eval", "--suite", "embedded", "--strategies", "greedy,sample"]

  @Test func anEvaluationIsRecordedGoesOnAndReports() throws {
    let folder = try TemporaryFolder()
    let out = folder.url.appendingPathComponent("out").path
    func records() throws -> [[String: Any]] {
      try String(contentsOfFile: "\(out)/records.jsonl", encoding: .utf8).split(separator: "\n")
        .map {
          try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }
    let first = try Tool.run(arguments + ["--limit", "4", "--out", out])
    #expect(first.code == 0, "\(first.error)")
    #expect(first.out.contains("of 4 problems"))
    let before = try records()
    #expect(before.count == 8)

    let more = try Tool.run(arguments + ["--limit", "6", "--seeds", "2", "--out", out])
    #expect(more.code == 0, "\(more.error)")
    let after = try records()
    #expect(after.count == 24)
    #expect(after.prefix(8).map { $0["text"] as? String } == before.map { $0["text"] as? String })

    let page = URL(fileURLWithPath: "\(out)/report.html")
    let written = try Data(contentsOf: page)
    try FileManager.default.removeItem(at: page)
    #expect(try Tool.run(["eval", "--report-only", "--out", out]).code == 0)
    #expect(try Data(contentsOf: page) == written)
  }

  @Test(arguments: [
    (["--suite", "nope", "--strategies", "greedy"], Int32(64), "no suite 'nope'"),
    (["--suite", "/none.jsonl", "--strategies", "greedy"], 66, "/none.jsonl"),
    (["--suite", "make"], 64, "--strategies"),
    (["--strategies", "greedy"], 64, "--suite"),
    (["--suite", "make", "--strategies", "greedy,nope"], 64, "no strategy 'nope'"),
    (["--suite", "make", "--strategies", "greedy:n=2"], 64, "no option 'n'"),
    (["--suite", "make", "--strategies", "greedy", "--budgets", "pages=3"], 64, "'pages'"),
    (["--suite", "make", "--strategies", "greedy", "--limit", "0"], 64, "--limit 0"),
    (["--suite", "make", "--strategies", "greedy", "--sampling", "warm=1"], 64, "warm"),
    (["--report-only"], 66, "eval.json"),
  ])
  func nothingIsMadeForACommandThatIsWrong(
    options: [String], code: Int32, message: String
  ) throws {
    let folder = try TemporaryFolder()
    let out = folder.url.appendingPathComponent("out").path
    let output = try Tool.run(["eval", "--out", out] + options)
    #expect(output.code == code, "\(output.error)")
    #expect(output.error.contains(message), "\(output.error)")
    #expect(!FileManager.default.fileExists(atPath: out))
  }
}
