import Foundation
import Testing

/// `martlet run` with the embedded model.
@Suite struct RunTests {
  private static let bestOfN = [
    "run", "make 46 from 3 7 25?", "--strategy", "best-of-n", "--set", "n=16", "--json",
  ]

  @Test func bestOfNGivesACheckedAnswerTwiceTheSame() throws {
    let outputs = try (0..<2).map { _ in try Tool.run(Self.bestOfN + ["--seed", "3"]) }
    var objects: [[String: Any]] = []
    for output in outputs {
      #expect(output.code == 0, "\(output.error)")
      var object = try output.object()
      object["timing"] = nil
      objects.append(object)
    }
    #expect(objects[0] as NSDictionary == objects[1] as NSDictionary)

    let object = objects[0]
    #expect(object["schema"] as? Int == 1)
    #expect(object["seed"] as? String == "3")
    #expect(object["stopped_because"] as? String == "finished")
    let candidates = try #require(object["candidates"] as? [[String: Any]])
    #expect(candidates.count == 16)
    let winner = candidates[try #require(object["answer_candidate"] as? Int)]
    #expect(winner["score"] as? Double == 1)
    let usage = try #require(object["usage"] as? [String: Any])
    let generated = try #require(usage["generated_tokens"] as? Int)
    #expect(generated == candidates.compactMap { $0["tokens"] as? Int }.reduce(0, +))
    #expect(try #require(usage["peak_kv_bytes"] as? Int) > 0)
  }

  @Test func theResultIsTheSameOnEveryISAAndAnyNumberOfThreads() throws {
    func result(_ arguments: [String], isa: String, through: [String] = []) throws -> NSDictionary {
      let output = try Tool.run(
        Self.bestOfN + arguments, environment: ["MARTLET_ISA": isa], through: through)
      #expect(output.code == 0, "\(output.error)")
      var object = try output.object()
      object["timing"] = nil
      return object as NSDictionary
    }
    let expected = try result([], isa: "native")
    for isa in ["reference", "avx2", "avx512"] {
      #expect(try result(["--threads", "1"], isa: isa) == expected, "\(isa)")
    }
    #expect(try result([], isa: "native", through: ["taskset", "-c", "0"]) == expected, "one CPU")
  }

  @Test func aTokenBudgetIsNeverExceeded() throws {
    for tokens in [1, 7, 64] {
      let output = try Tool.run(Self.bestOfN + ["--budget", "tokens=\(tokens)"])
      #expect(output.code == 0, "\(output.error)")
      let object = try output.object()
      let usage = try #require(object["usage"] as? [String: Any])
      #expect(try #require(usage["generated_tokens"] as? Int) <= tokens)
      #expect(object["stopped_because"] as? String == "budget_tokens")
    }
  }

  @Test func thePromptMayComeFromStandardInput() throws {
    let prompt = "calc 17 +4?"
    let given = try Tool.run(["run", prompt])
    let piped = try Tool.run(["run"], input: Data((prompt + "\n").utf8))
    #expect(given.code == 0)
    #expect(given.out == piped.out)
    #expect(given.out.contains("#"))
    let streamed = try Tool.run(["run", prompt, "--stream"])
    #expect(streamed.out == given.out)
  }

  @Test func aTraceIsWrittenThatParses() throws {
    let folder = try TemporaryFolder()
    let trace = folder.url.appendingPathComponent("trace.json")
    let output = try Tool.run(Self.bestOfN + ["--trace", trace.path])
    #expect(output.code == 0, "\(output.error)")
    let object = try #require(
      JSONSerialization.jsonObject(with: Data(contentsOf: trace)) as? [String: Any])
    let events = try #require(object["traceEvents"] as? [[String: Any]])
    #expect(events.count > 16)
    #expect(events.allSatisfy { $0["ph"] is String })
  }
}

/// `martlet run --chat` with a model that carries a template.
@Suite struct ChatTests {
  @Test func theEmbeddedModelHasNoTemplateAndSaysSo() throws {
    let output = try Tool.run(["run", "calc 17 +4?", "--chat"])
    #expect(output.code == 64)
    #expect(output.error.contains("tokenizer.chat_template"))
  }
}
