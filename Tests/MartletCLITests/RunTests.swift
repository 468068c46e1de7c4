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

  @Test(
    "results and traces say what tokens attended to, with what was chosen for them",
    arguments: [
      ([], "exact"), (["--attention", "window=512"], "window=512"),
      (["--attention", "retrieve", "--no-tuning"], "retrieve=0.02,from=8192,most=16"),
      (
        ["--attention", "retrieve=0.1,recent=64,from=2048,most=20"],
        "retrieve=0.1,from=2048,most=20,recent=64"
      ),
    ])
  func attentionIsStated(arguments: [String], attention: String) throws {
    let folder = try TemporaryFolder()
    let trace = folder.url.appendingPathComponent("trace.json")
    let output = try Tool.run(
      ["run", "calc 17 +4?", "--json", "--trace", trace.path] + arguments)
    #expect(output.code == 0, "\(output.error)")
    #expect(try output.object()["attention"] as? String == attention)
    let object = try #require(
      JSONSerialization.jsonObject(with: Data(contentsOf: trace)) as? [String: Any])
    #expect((object["otherData"] as? [String: Any])?["attention"] as? String == attention)
    let again = try Tool.run(
      ["run", "calc 17 +4?", "--json", "--attention", attention])
    #expect(try again.object()["text"] as? String == output.object()["text"] as? String)
  }
}

/// `martlet run --draft-memory`.
@Suite struct DraftMemoryCommandTests {
  private static let run = [
    "run", "make 46 from 3 7 25?", "--strategy", "best-of-n", "--set", "n=4", "--seed", "5",
    "--json",
  ]

  private func result(_ arguments: [String]) throws -> NSDictionary {
    let output = try Tool.run(Self.run + arguments)
    #expect(output.code == 0, "\(output.error)")
    var object = try output.object()
    object["timing"] = nil
    return object as NSDictionary
  }

  @Test func theMemoryOutlivesTheProgramAndChangesNothing() throws {
    let folder = try TemporaryFolder()
    let file = folder.url.appendingPathComponent("drafts")
    let plain = try result([])
    #expect(try result(["--draft", "auto", "--draft-memory", file.path]) == plain)
    let first = try Data(contentsOf: file)
    #expect(first.starts(with: Data("MARTDRFT".utf8)))
    #expect(try result(["--draft", "siblings+trie", "--draft-memory", file.path]) == plain)
    // The second program has read what the first one wrote.
    #expect(try Data(contentsOf: file).count >= first.count)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.url.path) == ["drafts"],
      "nothing is left beside it")
  }

  @Test func aFileThatIsNoMemoryIsRefusedAndKept() throws {
    let folder = try TemporaryFolder()
    let bytes = Data("these are my notes, not a memory of drafts".utf8)
    let file = try folder.file("notes", bytes)
    let output = try Tool.run(Self.run + ["--draft", "auto", "--draft-memory", file.path])
    #expect(output.code == 65)
    #expect(output.error.contains(file.path) && output.error.contains("no memory of drafts"))
    #expect(try Data(contentsOf: file) == bytes)
    let folderGiven = try Tool.run(
      Self.run + ["--draft", "auto", "--draft-memory", folder.url.path])
    #expect(folderGiven.code == 66, "\(folderGiven.error)")
  }

  @Test func itDoesNothingWithoutTrieAndSaysSo() throws {
    for draft in [[], ["--draft", "siblings"], ["--draft", "off"]] {
      let output = try Tool.run(Self.run + draft + ["--draft-memory", "/tmp/x"])
      #expect(output.code == 64)
      #expect(output.error.contains("--draft-memory") && output.error.contains("trie"))
    }
  }

  @Test func aFolderThatIsNotThereCostsTheMemoryAlone() throws {
    let output = try Tool.run(
      Self.run + ["--draft", "auto", "--draft-memory", "/nowhere/at/all/drafts"])
    #expect(output.code == 73)
    #expect(output.error.contains("/nowhere/at/all"))
    #expect(try output.object()["answer"] is String)
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

/// Plugins in processes of their own, from the command line.
@Suite struct IsolationOptionTests {
  @Test func answersAreTheSame() throws {
    let arguments = [
      "run", "make 46 from 3 7 25?", "--strategy", "best-of-n", "--set", "n=4", "--seed", "3",
      "--json", "--no-tuning",
    ]
    func answer(_ more: String...) throws -> NSDictionary {
      let output = try Tool.run(arguments + more)
      #expect(output.code == 0, "\(output.error)")
      var object = try output.object()
      object["timing"] = nil
      return object as NSDictionary
    }
    #expect(try answer() == answer("--isolate"))
  }

  @Test func theOverrideAloneIsRefused() throws {
    let output = try Tool.run(["run", "x", "--unconfined"])
    #expect(output.code == 64 && output.error.contains("--isolate"), "\(output.error)")
  }
}
