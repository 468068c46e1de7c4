import Foundation
import Testing

/// `martlet replay` of what `martlet run --trace` wrote.
@Suite struct ReplayTests {
  private static func withoutTiming(_ output: Tool.Output) throws -> NSDictionary {
    #expect(output.code == 0, "\(output.error)")
    var object = try output.object()
    object["timing"] = nil
    return object as NSDictionary
  }

  @Test func aRecordedRunIsDecidedAgainAndOtherwise() throws {
    let folder = try TemporaryFolder()
    let trace = try folder.file("trace.json").path
    let run = ["run", "calc 17 *4 -23 +45?", "--json", "--seed", "2", "--strategy"]
    let fresh = try Self.withoutTiming(
      Tool.run(run + ["best-of-n", "--set", "n=8", "--scorer", "mean-logprob", "--trace", trace]))
    #expect(try Self.withoutTiming(Tool.run(["replay", trace, "--json"])) == fresh)

    let vote = try Self.withoutTiming(Tool.run(run + ["self-consistency", "--set", "n=5"]))
    let replayed = try Tool.run([
      "replay", trace, "--json", "--selector", "self-consistency", "--set", "n=5",
    ])
    var expected = vote as! [String: Any]
    var found = try Self.withoutTiming(replayed) as! [String: Any]
    (expected["scorer"], found["scorer"]) = (nil, nil)
    #expect(found as NSDictionary == expected as NSDictionary)

    let more = try Tool.run(["replay", trace, "--set", "n=9"])
    #expect(more.code == 0 && more.error.contains("not_recorded"), "\(more.error)")

    let seconds = try Tool.run(["replay", trace, "--budget", "seconds=1"])
    #expect(
      seconds.code == 64 && seconds.error.contains("a replay takes no time"), "\(seconds.error)")
  }

  @Test func whatIsNoTraceIsRefused() throws {
    let folder = try TemporaryFolder()
    let file = try folder.file("x.json", Data("{}".utf8)).path
    let output = try Tool.run(["replay", file])
    #expect(output.code != 0 && output.error.contains("is no trace of a run"), "\(output.error)")
    let missing = try Tool.run(["replay", folder.url.path + "/none.json"])
    #expect(missing.code != 0 && missing.error.contains("none.json cannot be read"))
  }
}
