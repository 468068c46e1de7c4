import Foundation
import Testing

@Suite struct SearchTests {
  @Test func aSearchEndsInAFileThatRuns() throws {
    let folder = try TemporaryFolder()
    let space = folder.url.appendingPathComponent("space.json").path
    try """
    {"first": [{"type": "generator", "n": [1, 4]}], "then": [{"type": "ranker"}]}
    """.write(toFile: space, atomically: true, encoding: .utf8)
    let out = folder.url.appendingPathComponent("out").path
    let arguments = [
      "search", "--suite", "make", "--budget", "tokens=200", "--space", space, "--limit", "16",
      "--held-out", "16", "--baselines", "greedy", "--out", out,
    ]
    let first = try Tool.run(arguments)
    #expect(first.code == 0, "\(first.error)")
    #expect(first.out.contains("of 16 held-out problems right within tokens=200"))
    #expect(first.error.contains("2 of 2 pipelines"))
    #expect(try Tool.run(arguments).out == first.out)

    let run = try Tool.run([
      "run", "make 8 from 3 5?", "--strategy", "pipeline:\(out)/best.json", "--json",
    ])
    #expect(run.code == 0, "\(run.error)")
    #expect(run.out.contains("\"strategy\" : \"pipeline\"") || run.out.contains("\"pipeline\""))
    let written = try Tool.run(["run", "2+2=", "--strategy", "best-of-n:n=2", "--json"])
    #expect(written.code == 0, "\(written.error)")
  }

  @Test(arguments: [
    (["--budget", "tokens=9,tokens=8"], Int32(64), "is 2 budgets"),
    (["--budget", "pages=9"], 64, "'pages'"),
    (["--budget", "tokens=9", "--trials", "0"], 64, "--trials 0"),
    (["--budget", "tokens=9", "--space", "/none.json"], 66, "/none.json"),
    (["--budget", "tokens=9", "--limit", "4"], 65, "4 problems to search on"),
    (["--budget", "tokens=9", "--baselines", "gone"], 64, "no strategy 'gone'"),
  ])
  func nothingIsMadeForACommandThatIsWrong(
    options: [String], code: Int32, message: String
  ) throws {
    let folder = try TemporaryFolder()
    let out = folder.url.appendingPathComponent("out").path
    let output = try Tool.run(["search", "--suite", "make", "--out", out] + options)
    #expect(output.code == code, "\(output.error)")
    #expect(output.error.contains(message), "\(output.error)")
    #expect(!FileManager.default.fileExists(atPath: out))
  }
}
