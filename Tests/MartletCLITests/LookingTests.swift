import Foundation
import Testing

/// Commands that look at the model, the plugins and the machine.
@Suite struct LookingTests {
  @Test func pluginsAreListedWithTheirSources() throws {
    let output = try Tool.run(["plugin", "list", "--json"])
    let rows = try #require(
      JSONSerialization.jsonObject(with: Data(output.out.utf8)) as? [[String: String]])
    let ids = Set(rows.compactMap { $0["id"] })
    let expected: Set = [
      "best-of-n", "self-consistency", "first-finish", "exact-checker", "mean-logprob",
      "final-answer",
    ]
    #expect(expected.isSubset(of: ids))
    #expect(rows.allSatisfy { Set($0.keys) == ["id", "kind", "version", "path", "paper"] })
  }

  @Test func everyShippedPluginPassesItsChecks() throws {
    let folder = URL(fileURLWithPath: Tool.path).deletingLastPathComponent()
    let names = [
      "BestOfN", "BestOfNC", "SelfConsistency", "FirstFinish", "ExactChecker", "MeanLogprob",
      "FinalAnswer",
    ]
    for name in names {
      let library = folder.appendingPathComponent("libMartlet\(name).so").path
      let output = try Tool.run(["plugin", "check", library])
      #expect(output.code == 0, "\(name): \(output.out)\(output.error)")
    }
  }

  @Test func tokensAndLogits() throws {
    let tokens = try Tool.run(["model", "tokenize", "calc 17 +4?"])
    #expect(tokens.code == 0, "\(tokens.error)")
    let ids = tokens.out.trimmingCharacters(in: .newlines).split(separator: ",").compactMap {
      Int($0)
    }
    #expect(ids.count == 12)
    let bare = try Tool.run(["model", "tokenize", "--no-bos"], input: Data("calc 17 +4?".utf8))
    #expect(tokens.out.hasSuffix(bare.out))

    let folder = try TemporaryFolder()
    let list = ids.map(String.init).joined(separator: ",")
    let last = folder.url.appendingPathComponent("last.npy")
    let all = folder.url.appendingPathComponent("all.npy")
    for (file, flags) in [(last, []), (all, ["--all"])] {
      let output = try Tool.run(
        ["model", "logits", "--tokens", list, "--out", file.path] + flags)
      #expect(output.code == 0, "\(output.error)")
    }
    let (lastData, allData) = (try Data(contentsOf: last), try Data(contentsOf: all))
    #expect(lastData.prefix(6) == Data([0x93] + Array("NUMPY".utf8)))
    let rowBytes = (allData.count - lastData.count) / (ids.count - 1)
    #expect(rowBytes > 0 && rowBytes % 4 == 0)
    #expect(lastData.suffix(rowBytes) == allData.suffix(rowBytes))
  }

  @Test func topologyAndKernels() throws {
    let topology = try Tool.run(["topology", "--json"]).object()
    #expect(((topology["units"] as? [Any])?.count ?? 0) > 0)
    let kernels = try Tool.run(["kernels"])
    #expect(kernels.out.contains("gemm_q4_0_q8"))
    let reference = try Tool.run(["kernels"], environment: ["MARTLET_ISA": "reference"])
    let rows = reference.out.split(separator: "\n").filter { $0.hasPrefix("|") }
    #expect(rows.count > 20)
    #expect(rows.allSatisfy { !$0.contains("avx") })
  }
}

/// Plugins pinned from the command line.
@Suite struct TrustTests {
  @Test func aPinnedPluginThatChangedIsRefusedUntilItIsTrustedAgain() throws {
    let (folder, build) = (
      try TemporaryFolder(), URL(fileURLWithPath: Tool.path).deletingLastPathComponent()
    )
    func copy(_ name: String) throws {
      let from = try Data(contentsOf: build.appendingPathComponent(name))
      _ = try folder.file(URL(fileURLWithPath: name).lastPathComponent, from)
    }
    try copy("libMartletBestOfNC.so")
    try copy("martlet_BestOfNC.resources/BestOfNC.martlet-plugin.json")
    let lock = folder.url.appendingPathComponent("lock.json").path
    let environment = ["MARTLET_PLUGIN_LOCK": lock, "MARTLET_PLUGIN_PATH": folder.url.path]
    func tool(_ arguments: String...) throws -> Tool.Output {
      try Tool.run(arguments, environment: environment)
    }
    let run = ["run", "calc 17 +4?", "--strategy", "best-of-n-c", "--no-tuning"]

    let pinned = try tool("plugin", "trust", folder.url.path, "--json")
    #expect(pinned.code == 0, "\(pinned.error)")
    let plugins = try #require(try pinned.object()["plugins"] as? [[String: String]])
    #expect(plugins.map { $0["status"] } == ["unchanged"])
    #expect(try pinned.object()["sealed_folders"] as? [String] == [folder.url.path])
    #expect(try Tool.run(run, environment: environment).code == 0)

    let library = folder.url.appendingPathComponent("libMartletBestOfNC.so")
    try (try Data(contentsOf: library) + Data([0])).write(to: library)
    let refused = try Tool.run(run, environment: environment)
    #expect(refused.code != 0)
    #expect(refused.error.contains("martlet plugin trust "), "\(refused.error)")
    #expect(try tool("plugin", "trust", "--list").out.contains("changed"))
    #expect(try tool("plugin", "trust", "best-of-n-c").code == 0)
    #expect(try Tool.run(run, environment: environment).code == 0)

    #expect(try tool("plugin", "trust", "--revoke", "no-such-plugin").code == 64)
    let revoked = try tool("plugin", "trust", "--revoke", folder.url.path)
    #expect(revoked.code == 0 && revoked.out.hasPrefix("0 plugins"), "\(revoked.out)")
    #expect(try tool("plugin", "trust", folder.url.path + "/none").code == 69)
  }
}
