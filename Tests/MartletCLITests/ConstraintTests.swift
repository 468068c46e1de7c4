import Foundation
import Testing

/// `martlet run --regex` and `--json-schema`.
@Suite struct ConstraintTests {
  private func refusal(_ arguments: [String]) throws -> (code: Int32, error: String) {
    let output = try Tool.run(["run", "calc 1 +1?"] + arguments)
    #expect(output.out.isEmpty)
    return (output.code, output.error)
  }

  @Test func textsMatchUnderEveryStrategy() throws {
    let digits = try Regex("[1-9]{2}= [0-9]{2}")
    for strategy in [["--strategy", "greedy"], ["--strategy", "best-of-n", "--set", "n=4"]] {
      let output = try Tool.run(
        ["run", "calc 17 *4?", "--regex", "[1-9]{2}= [0-9]{2}", "--json"] + strategy)
      #expect(output.code == 0, "\(output.error)")
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(output.out.utf8)) as? [String: Any])
      let candidates = try #require(object["candidates"] as? [[String: Any]])
      for candidate in candidates {
        let text = try #require(candidate["text"] as? String)
        #expect(try digits.wholeMatch(in: text) != nil, "\(text)")
      }
      let usage = try #require(object["usage"] as? [String: Any])
      #expect(try #require(usage["forced_tokens"] as? Int) >= 2)
    }
  }

  @Test func refusalsSayWhatAndWhere() throws {
    let backreference = try refusal(["--regex", "(a)\\1"])
    #expect(backreference.code == 64 && backreference.error.contains("column 4"))
    let keyword = try refusal(["--json-schema", #"{"items":{"uniqueItems":true}}"#])
    #expect(keyword.code == 64 && keyword.error.contains("#/items"))
    #expect(keyword.error.contains("uniqueItems"))
    let both = try refusal(["--regex", "a", "--json-schema", "true"])
    #expect(both.code == 64 && both.error.contains("--json-schema"))
    let space = try refusal(["--regex", "a", "--json-whitespace", "compact"])
    #expect(space.code == 64 && space.error.contains("--json-whitespace"))
    let missing = try refusal(["--json-schema", "no-such-file.json"])
    #expect(missing.code == 66 && missing.error.contains("no-such-file.json"))
    // The model that comes along knows no sign of JSON.
    let spelling = try refusal(["--json-schema", #"{"type":"object"}"#])
    #expect(spelling.code == 64 && spelling.error.contains("'{'"), "\(spelling.error)")
  }
}
