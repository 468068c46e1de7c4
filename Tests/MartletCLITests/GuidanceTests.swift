import Foundation
import Testing

/// `martlet run` guided by a second row, and with guesses tested by rejection.
@Suite struct GuidanceTests {
  private static let run = ["run", "calc 17 *4 -23?", "--strategy", "best-of-n", "--set", "n=4"]

  private func object(_ arguments: [String]) throws -> [String: Any] {
    let output = try Tool.run(Self.run + ["--json", "--seed", "3"] + arguments)
    #expect(output.code == 0, "\(output.error)")
    var object = try output.object()
    object["timing"] = nil
    return object
  }

  private func guidanceTokens(_ object: [String: Any]) throws -> Int {
    let usage = try #require(object["usage"] as? [String: Any])
    return try #require(usage["guidance_tokens"] as? Int)
  }

  @Test func scaleOneChangesNothing() throws {
    let plain = try object([])
    #expect(try guidanceTokens(plain) == 0)
    let same = try object(["--guidance", "1", "--negative-prompt", "calc 1 +1?"])
    #expect(same as NSDictionary == plain as NSDictionary)
  }

  @Test func secondRowsChangeChoicesAndAreCounted() throws {
    let plain = try object([])
    for arguments in [
      ["--guidance", "3", "--negative-prompt", "calc 1 +1?"], ["--guidance", "2"],
      ["--kl-temperature", "0.05"], ["--contrast", "strength=2,exit=2"],
    ] {
      let guided = try object(arguments)
      #expect(try object(arguments + ["--threads", "1"]) as NSDictionary == guided as NSDictionary)
      #expect(
        guided["candidates"] as? NSArray != plain["candidates"] as? NSArray, "\(arguments)")
      #expect(try (guidanceTokens(guided) > 0) == (arguments[0] != "--contrast"))
    }
  }

  @Test func aModelContrastedWithItself() throws {
    // Both rows are the same, and plausibility 0 takes nothing out: texts are those without.
    let model = Tool.embeddedModel.path
    let same = try object(["--contrast", "strength=1,plausibility=0,model=\(model)"])
    let plain = try object([])
    #expect(same["candidates"] as? NSArray == plain["candidates"] as? NSArray)
    #expect(try guidanceTokens(same) > 0)
  }

  @Test func guidedRunsSayThatTheyDoNotDraft() throws {
    let guided = try object(["--guidance", "2", "--draft", "auto"])
    let notes = try #require(guided["notes"] as? [String])
    #expect(notes.count == 1 && notes[0].contains("drafting by 'auto' is off"))
  }

  @Test func testsByRejection() throws {
    for verifier in ["chain", "recursive=2", "distinct", "weighted=4", "typical"] {
      let drafted = try object(["--draft", "self", "--verify", verifier])
      #expect((drafted["candidates"] as? NSArray)?.count == 4)
    }
  }

  @Test func refusals() throws {
    for (arguments, part) in [
      (["--negative-prompt", "x"], "--guidance"),
      (["--guidance", "2", "--contrast", "exit=1"], "excludes"),
      (["--contrast", "exit=99"], "99"), (["--contrast", "size=2"], "size"),
      (["--contrast", "model=/nowhere.gguf"], "/nowhere.gguf"),
      (["--kl-temperature", "-1"], "above 0"), (["--guidance", "inf"], "inf"),
      (["--verify", "chain"], "--draft"), (["--draft", "auto", "--verify", "best"], "best"),
    ] {
      let output = try Tool.run(Self.run + arguments)
      #expect(output.code != 0 && output.out.isEmpty)
      #expect(output.error.contains(part), "\(arguments): \(output.error)")
    }
    let greedy = try Tool.run(["run", "calc 1 +1?", "--kl-temperature", "2"])
    #expect(greedy.code == 64 && greedy.error.contains("temperature 0"))
  }
}
