import Foundation
import MartletScaling
import MartletSimulation
import Testing

@Suite("Pinned plugins") struct PluginTrustTests {
  @Test(
    "SHA-256 gives the digests of FIPS 180-4 and of every length around a block",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
      (
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
          + "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
      ),
      (
        String(repeating: "a", count: 1_000_000),
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
      ),
    ])
  func digests(text: String, digest: String) {
    #expect(SHA256.hex(Data(text.utf8)) == digest)
  }

  @Test("digests agree with the system's tool at every length around a block")
  func lengths() throws {
    let folder = try TemporaryFolder()
    for length in [1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 4097] {
      let data = Data((0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ length) })
      let file = "\(folder.path)/f"
      try data.write(to: URL(fileURLWithPath: file))
      let pipe = Pipe()
      let tool = Process()
      tool.executableURL = URL(fileURLWithPath: "/usr/bin/sha256sum")
      tool.arguments = [file]
      tool.standardOutput = pipe
      try tool.run()
      tool.waitUntilExit()
      let said = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      #expect(said.hasPrefix(SHA256.hex(data)), "length \(length)")
    }
  }

  /// Loads a strategy as a run would.
  private func load(_ id: String, from host: PluginHost) throws(ScalingError) {
    do {
      try makeSession(endless, plugins: host).session.validate(request("abc", id))
    } catch let error as ScalingError {
      throw error
    } catch {
      throw ScalingError(.engine, "\(error)")
    }
  }

  private func path(_ plugin: FixturePlugin, _ lock: String) -> PluginSearchPath {
    PluginSearchPath(
      folders: [.init(path: plugin.folder.path, isExplicit: true, isOwn: false)], lockFile: lock)
  }

  @Test("a pinned plugin is loaded while it is what was pinned")
  func pinned() throws {
    let (plugin, place) = (try FixturePlugin("well_behaved"), try TemporaryFolder())
    let file = "\(place.path)/deep/lock.json"
    let open = PluginHost(searchPath: path(plugin, file))
    var lock = PluginLock()
    try lock.pin(try #require(open.plugins.first))
    try lock.save(to: file)
    #expect(try PluginLock(file: file) == lock)
    let host = PluginHost(searchPath: path(plugin, file))
    try load(plugin.id, from: host)
    #expect(host.refusals.isEmpty)
    #expect(lock.pins[0].status == "unchanged")
  }

  @Test(
    "what is loaded is what was hashed, whatever becomes of the file", arguments: [false, true])
  func sealed(isIsolated: Bool) async throws {
    let (plugin, place) = (try FixturePlugin("well_behaved"), try TemporaryFolder())
    let file = "\(place.path)/lock.json"
    var lock = PluginLock()
    try lock.pin(try #require(PluginHost(searchPath: path(plugin, file)).plugins.first))
    try lock.save(to: file)
    var isolation = PluginIsolation()
    // Each run a process of its own, which loads the library anew.
    isolation.idleProcesses = 0
    let host = PluginHost(
      searchPath: path(plugin, file), isolation: isIsolated ? isolation : nil)
    let (session, _) = try makeSession(HashedWorld(seed: 5, endBias: 2.5), plugins: host)
    let wanted = try request("abc", plugin.id, maxTokens: 20)
    let first = try await session.run(wanted)
    let library = "\(plugin.folder.path)/libfixture.so"
    try Data("something else".utf8).write(to: URL(fileURLWithPath: library))
    #expect(try await session.run(wanted).withoutTiming == first.withoutTiming)
    // A host that begins now compares what is there now.
    let later = PluginHost(
      searchPath: path(plugin, file), isolation: isIsolated ? isolation : nil)
    let error = #expect(throws: ScalingError.self) { try load(plugin.id, from: later) }
    #expect(error?.message.contains("its library has SHA-256") == true)
  }

  @Test(
    "a changed library or manifest is refused with both digests and what would accept it",
    arguments: ["libfixture.so", "fixture.martlet-plugin.json"])
  func changed(name: String) throws {
    let (plugin, place) = (try FixturePlugin("well_behaved"), try TemporaryFolder())
    let file = "\(place.path)/lock.json"
    var lock = PluginLock()
    try lock.pin(try #require(PluginHost(searchPath: path(plugin, file)).plugins.first))
    try lock.save(to: file)
    let item = URL(fileURLWithPath: "\(plugin.folder.path)/\(name)")
    let before = try Data(contentsOf: item)
    // A space after JSON and bytes after an ELF file change neither's meaning.
    try (before + Data(" ".utf8)).write(to: item)
    let after = try Data(contentsOf: item)
    #expect(lock.pins[0].status == "changed")

    let host = PluginHost(searchPath: path(plugin, file))
    let error = #expect(throws: ScalingError.self) {
      try load(plugin.id, from: host)
    }
    #expect(error?.code == .refused)
    for part in [
      SHA256.hex(before), SHA256.hex(after), "martlet plugin trust \(plugin.manifestPath)",
    ] {
      #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
    }
    // Accepting it is enough.
    try lock.pin(try #require(PluginHost(searchPath: path(plugin, file).unlocked).plugins.first))
    try lock.save(to: file)
    let again = PluginHost(searchPath: path(plugin, file))
    try load(plugin.id, from: again)
  }

  @Test("a plugin that takes a pinned one's id is refused wherever it lies")
  func impostor() throws {
    let (plugin, place) = (try FixturePlugin("well_behaved"), try TemporaryFolder())
    let file = "\(place.path)/lock.json"
    var lock = PluginLock()
    try lock.pin(try #require(PluginHost(searchPath: path(plugin, file)).plugins.first))
    try lock.save(to: file)
    let other = try FixturePlugin("crash") { _ in FixturePlugin.manifest("well-behaved") }
    let host = PluginHost(searchPath: path(other, file))
    let error = #expect(throws: ScalingError.self) {
      try load("well-behaved", from: host)
    }
    #expect(error?.message.contains(lock.pins[0].librarySHA256) == true)
  }

  @Test("in a sealed folder only pinned plugins are loaded")
  func sealed() throws {
    let (plugin, place) = (try FixturePlugin("well_behaved"), try TemporaryFolder())
    let file = "\(place.path)/lock.json"
    var lock = PluginLock()
    lock.seal(plugin.folder.path)
    try lock.save(to: file)
    let host = PluginHost(searchPath: path(plugin, file))
    #expect(host.plugins.isEmpty)
    #expect(host.refusals.first?.reason.contains("not among the plugins") == true)
    let cleared = lock.revoke(plugin.folder.path)
    #expect(cleared && lock == PluginLock())
    try lock.save(to: file)
    #expect(PluginHost(searchPath: path(plugin, file)).plugins.count == 1)
  }

  @Test(
    "a lock that is damaged, of another schema or writable by others stops all loading",
    arguments: [
      ("{", 0o644, "damaged"), (#"{"schema": 7, "sealed_folders": [], "plugins": []}"#, 0o644, "7"),
      (#"{"schema": 1, "sealed_folders": [], "plugins": []}"#, 0o666, "writable"),
    ])
  func unusable(text: String, mode: Int, mention: String) throws {
    let (plugin, place) = (try FixturePlugin("well_behaved"), try TemporaryFolder())
    try place.write(text, to: "lock.json")
    let file = "\(place.path)/lock.json"
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
    let host = PluginHost(searchPath: path(plugin, file))
    #expect(host.plugins.isEmpty)
    #expect(host.refusals.first?.reason.contains(mention) == true, "\(host.refusals)")
  }

  @Test("the lock is the user's, and /etc's for a privileged process")
  func place() {
    let environment = ["XDG_CONFIG_HOME": "/c", "HOME": "/h", "MARTLET_PLUGIN_LOCK": "/l"]
    #expect(PluginLock.standardPath(environment: environment, isPrivileged: false) == "/l")
    #expect(
      PluginLock.standardPath(environment: environment, isPrivileged: true)
        == "/etc/martlet/plugins.lock.json")
    #expect(
      PluginLock.standardPath(environment: ["HOME": "/h"], isPrivileged: false)
        == "/h/.config/martlet/plugins.lock.json")
  }
}
