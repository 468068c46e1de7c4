import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

@Suite("What an isolated plugin may do") struct PermissionTests {
  /// A manifest that asks for permissions.
  private static func manifest(_ permissions: String) -> (String) -> String {
    { id in
      FixturePlugin.manifest(id).replacingOccurrences(
        of: #""license""#, with: #""permissions": [\#(permissions)], "license""#
      )
    }
  }

  private func run(
    _ name: String, _ permissions: String, _ isolation: PluginIsolation? = PluginIsolation()
  ) async throws -> RunResult {
    let plugin = try FixturePlugin(name, manifest: Self.manifest(permissions))
    let (session, engine) = try makeSession(
      HashedWorld(seed: 5, endBias: 2.5), plugins: plugin.host(isolation))
    defer { #expect(engine.pagesInUse == 0) }
    return try await session.run(request("abc", plugin.id, maxTokens: 20))
  }

  @Test(
    "what is not asked for ends the run with an error that names it",
    arguments: [
      ("opens_socket", #""files", "subprocesses""#, "'socket'", #"permission "network""#),
      ("writes_file", #""network", "subprocesses""#, "'open", #"permission "files""#),
      ("removes_file", #""network", "subprocesses""#, "'unlink", #"permission "files""#),
      ("starts_process", #""network", "files""#, "'clone'", #"permission "subprocesses""#),
      ("replaces_itself", #""network", "files""#, "'execve'", #"permission "subprocesses""#),
      ("signals_host", #""network", "files""#, "'kill'", "may not make"),
    ])
  func refused(name: String, others: String, call: String, permission: String) async throws {
    for permissions in ["", others] {
      let error = await #expect(throws: ScalingError.self) { try await run(name, permissions) }
      #expect(error?.code == .plugin)
      let id = name.replacingOccurrences(of: "_", with: "-")
      for part in ["plugin '\(id)'", call, permission] {
        #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
      }
    }
  }

  @Test(
    "what is asked for is given",
    arguments: [
      ("opens_socket", #""network""#), ("writes_file", #""files""#), ("removes_file", #""files""#),
      ("starts_process", #""subprocesses""#), ("reads_file", #""files""#), ("writes_nowhere", ""),
    ])
  func given(name: String, permission: String) async throws {
    #expect(try await run(name, permission).text == "got it")
  }

  @Test("files of others cannot be read; which error that is, the plugin sees")
  func hidden() async throws {
    #expect(try await run("reads_file", #""network", "subprocesses""#).text == "errno \(EACCES)")
    #expect(try await run("reads_file", "", nil).text == "got it")
  }

  @Test("memory has a limit")
  func memory() async throws {
    var isolation = PluginIsolation()
    isolation.memoryBytes = 256 << 20
    #expect(try await run("takes_memory", "", isolation).text == "errno \(ENOMEM)")
    isolation.memoryBytes = 2 << 30
    #expect(try await run("takes_memory", "", isolation).text == "got it")
  }

  @Test("a plugin is held before its first instruction")
  func early() async throws {
    let error = await #expect(throws: ScalingError.self) { try await run("reaches_early", "") }
    #expect(error?.code == .refused)
    #expect(error?.message.contains(#"permission "network""#) == true, "\(error?.message ?? "")")
    #expect(try await run("reaches_early", #""network""#).stoppedBecause == .finished)
  }

  @Test(
    "where the kernel cannot hold a plugin it is refused, unless that is allowed",
    arguments: [(UInt32(1), "landlock"), (2, "seccomp")])
  func unconfined(missing: UInt32, name: String) async throws {
    var isolation = PluginIsolation()
    isolation.missingFeatures = missing
    let error = await #expect(throws: ScalingError.self) {
      try await run("well_behaved", "", isolation)
    }
    #expect(error?.code == .refused)
    #expect(error?.message.contains("no \(name)") == true, "\(error?.message ?? "")")
    isolation.allowsUnconfined = true
    #expect(try await run("well_behaved", "", isolation).stoppedBecause == .finished)
    // What the kernel does have holds.
    let reading = try await run("reads_file", "", isolation)
    #expect(reading.text == (missing == 1 ? "got it" : "errno \(EACCES)"))
  }

  @Test("an unknown permission is an error of the manifest")
  func unknown() {
    let text = Self.manifest(#""network", "everything""#)("x")
    let error = #expect(throws: ScalingError.self) {
      try PluginManifest(data: Data(text.utf8), file: "/p/x.martlet-plugin.json")
    }
    #expect(error?.message.contains("'everything', which is none of network, files") == true)
  }
}
