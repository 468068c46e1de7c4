import Foundation
import Testing

/// `--prefix-store`: prompts kept between starts.
@Suite struct PrefixStoreTests {
  private static let question = String(repeating: "calc 17 +4 -23? ", count: 9)

  @Test func aLaterStartReadsThePromptFromTheFolder() throws {
    let folder = try TemporaryFolder()
    let store = folder.url.appendingPathComponent("prompts").path
    let plain = ["run", Self.question, "--json", "--strategy", "best-of-n", "--set", "n=3"]
    func run(_ arguments: [String]) throws -> (result: NSDictionary, cached: Int) {
      let output = try Tool.run(arguments)
      #expect(output.code == 0, "\(output.error)")
      var object = try output.object()
      let timing = try #require(object["timing"] as? [String: Any])
      object["timing"] = nil
      return (object as NSDictionary, try #require(timing["cached_prompt_tokens"] as? Int))
    }
    let expected = try run(plain)
    #expect(expected.cached == 0)
    let kept = plain + ["--prefix-store", store]
    let first = try run(kept)
    #expect(first.result == expected.result && first.cached == 0)
    let second = try run(kept)
    #expect(second.result == expected.result && second.cached >= 96)
    #expect(try run(kept + ["--kv-type", "int8"]).cached == 0, "another type")

    let list = try Tool.run(["cache", "list", "--prefix-store", store, "--json"])
    let items = try #require(
      JSONSerialization.jsonObject(with: Data(list.out.utf8)) as? [[String: Any]])
    #expect(items.count == 2)
    #expect(items.allSatisfy { ($0["identity"] as? String)?.contains("martlet-arith") == true })
    let table = try Tool.run(["cache", "list", "--prefix-store", store])
    #expect(table.out.contains("bytes of prompts") && table.out.contains("int8"))
    let cleared = try Tool.run(["cache", "clear", "--prefix-store", store])
    #expect(cleared.code == 0 && cleared.out.contains("bytes of prompts removed"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: store).isEmpty)
    #expect(try run(kept).cached == 0)
  }

  @Test func processesShareAFolder() async throws {
    let folder = try TemporaryFolder()
    let store = folder.url.appendingPathComponent("prompts").path
    let expected = try Tool.run(["run", Self.question]).out
    try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<4 {
        group.addTask { try Tool.run(["run", Self.question, "--prefix-store", store]).out }
      }
      for try await out in group { #expect(out == expected) }
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: store).count == 1)
  }

  @Test func theUsersCacheFolderIsStandard() throws {
    let folder = try TemporaryFolder()
    let environment = ["XDG_CACHE_HOME": folder.url.path]
    let arguments = ["run", Self.question, "--prefix-store", "standard"]
    #expect(try Tool.run(arguments, environment: environment).code == 0)
    let files = try FileManager.default.contentsOfDirectory(
      atPath: folder.url.appendingPathComponent("martlet/prefixes").path)
    #expect(files.count == 1)
    let list = try Tool.run(["cache", "list"], environment: environment)
    #expect(list.out.contains("martlet/prefixes: ") && !list.out.contains(": 0 bytes of prompts"))
    #expect(try Tool.run(["cache", "clear"], environment: environment).code == 0)
    let after = try Tool.run(["cache", "list"], environment: environment)
    #expect(after.out.contains(": 0 bytes of prompts"))
  }

  @Test func keysAndValuesMayLieInAFile() throws {
    let folder = try TemporaryFolder()
    let plain = try Tool.run(["run", Self.question])
    let mapped = try Tool.run(
      ["run", Self.question, "--kv-file", folder.url.path, "--kv-bytes", "16M"])
    #expect(mapped.code == 0 && mapped.out == plain.out, "\(mapped.error)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path).isEmpty)
    let full = try Tool.run(
      ["run", Self.question, "--kv-file", folder.url.path, "--kv-bytes", "4000000000000"])
    #expect(full.code == 66 && full.error.contains("reserve"), "\(full.error)")
  }

  @Test func whatCannotBeKeptIsRefused() throws {
    let output = try Tool.run(["run", "x", "--prefix-store", "/proc/nowhere"])
    #expect(output.code == 66 && output.error.contains("/proc/nowhere"), "\(output.error)")
    let empty = try Tool.run(["run", "x", "--prefix-store", ""])
    #expect(empty.code == 64 && empty.error.contains("empty"), "\(empty.error)")
  }
}
