import Foundation
import MartletScaling
import Testing

@Suite struct PluginHostTests {
  @Test func findsTheShippedPluginsBesideTheExecutable() throws {
    let found = Set(shipped.listing.map { "\($0.kind) \($0.id)" })
    #expect(
      found.isSuperset(of: [
        "strategy best-of-n", "strategy best-of-n-c", "strategy self-consistency",
        "strategy first-finish", "strategy greedy", "strategy sample", "scorer exact-checker",
        "scorer mean-logprob", "extractor final-answer",
      ]))
    let list = try #require(
      try JSONSerialization.jsonObject(with: Data(shipped.listingJSON().utf8)) as? [[String: Any]])
    for entry in list {
      #expect(Set(entry.keys) == ["id", "kind", "version", "path", "paper", "summary"])
    }
    let best = try #require(shipped.listing.first { $0.id == "best-of-n" })
    #expect(best.path.hasSuffix("/libMartletBestOfN.so"))
    #expect(best.paper.contains("Cobbe"))
  }

  @Test func theSearchPathHasItsOrder() {
    let path = PluginSearchPath.standard(
      directories: ["/given"], executable: "/opt/martlet/bin/martlet",
      environment: ["MARTLET_PLUGIN_PATH": "/first:/second", "XDG_DATA_HOME": "/data"],
      isPrivileged: false)
    #expect(
      path.folders.map(\.path) == [
        "/first", "/second", "/opt/martlet/bin", "/given", "/data/martlet/plugins",
        "/opt/martlet/lib/martlet/plugins", "/usr/local/lib/martlet/plugins",
        "/usr/lib/martlet/plugins",
      ])
    #expect(path.refusals.isEmpty)
  }

  @Test func theEnvironmentIsIgnoredWhenPrivileged() {
    let path = PluginSearchPath.standard(
      executable: "/opt/bin/martlet",
      environment: ["MARTLET_PLUGIN_PATH": "/first", "XDG_DATA_HOME": "/data", "HOME": "/home/x"],
      isPrivileged: true)
    #expect(!path.folders.contains { ["/first", "/data/martlet/plugins"].contains($0.path) })
    #expect(path.refusals.map(\.path) == ["/first"])
  }

  @Test func theCurrentFolderIsNeverSearched() {
    let path = PluginSearchPath.standard(
      executable: "/opt/bin/martlet",
      environment: ["MARTLET_PLUGIN_PATH": ".::relative", "XDG_DATA_HOME": "relative"],
      isPrivileged: false)
    let current = FileManager.default.currentDirectoryPath
    #expect(!path.folders.contains { $0.path.hasPrefix(current) })
    #expect(path.refusals.map(\.path) == [".", "", "relative"])
  }

  @Test func aMissingFolderThatSomeoneNamedIsSaid() {
    let host = PluginHost(
      searchPath: PluginSearchPath(folders: [
        .init(path: "/nowhere/at/all", isExplicit: true, isOwn: false),
        .init(path: "/nowhere/else", isExplicit: false, isOwn: false),
      ]))
    #expect(host.refusals.map(\.path) == ["/nowhere/at/all"])
    #expect(host.components.map(\.manifest.id) == ["greedy", "sample"])
  }

  @Test func aFileIsNoFolder() throws {
    let folder = try TemporaryFolder()
    try folder.write("", to: "file")
    let host = PluginHost(
      searchPath: PluginSearchPath(folders: [
        .init(path: "\(folder.path)/file", isExplicit: true, isOwn: false)
      ]))
    #expect(host.refusals.map(\.reason) == ["it is a file, not a folder"])
  }

  @Test func refusesWhatOthersMayWrite() throws {
    for (item, mode) in [
      ("", 0o777), ("fixture.martlet-plugin.json", 0o666), ("libfixture.so", 0o777),
    ] {
      let plugin = try FixturePlugin("well_behaved")
      let path = item.isEmpty ? plugin.folder.path : "\(plugin.folder.path)/\(item)"
      try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
      let host = plugin.host
      #expect(host.plugins.allSatisfy { $0.manifest.id != plugin.id }, "\(item)")
      #expect(
        host.refusals.contains { $0.reason.contains(path) && $0.reason.contains("writable") },
        "\(host.refusals)")
    }
  }

  @Test func aFolderWithoutPluginsIsNobodysConcern() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: folder.path)
    let host = PluginHost(
      searchPath: PluginSearchPath(folders: [
        .init(path: folder.path, isExplicit: true, isOwn: false)
      ]))
    #expect(host.refusals.isEmpty)
  }

  @Test func theFirstOfTwoCounts() throws {
    let first = try FixturePlugin("well_behaved")
    let second = try FixturePlugin("well_behaved")
    let host = PluginHost(
      searchPath: PluginSearchPath(
        folders: [first, second].map {
          .init(path: $0.folder.path, isExplicit: true, isOwn: false)
        }))
    #expect(host.plugins.map(\.manifestPath) == [first.manifestPath])
    #expect(host.refusals.map(\.path) == [second.manifestPath])
    #expect(host.refusals[0].reason.contains(first.manifestPath))
  }

  @Test(arguments: [
    (#""major": 1, "minor": 0"#, #""major": 0, "minor": 4"#, "build it again with the plugin.h"),
    (
      #""major": 1, "minor": 0"#, #""major": 1, "minor": 1"#,
      "interface 1.1 and this host serves 1.0: use a newer"
    ),
    (#""major": 1, "minor": 0"#, #""major": 2, "minor": 0"#, "interface 2.0"),
    (#""language": "c""#, #""language": "swift", "swift_runtime": "5.1""#, "Swift 5.1"),
    (#""language": "c""#, #""language": "swift", "swift_runtime": "bundled""#, "lies elsewhere"),
    ("libfixture.so", "libabsent.so", "libabsent.so"),
  ])
  func refusesByManifestBeforeLoading(from: String, to: String, mention: String) throws {
    let plugin = try FixturePlugin("well_behaved") {
      FixturePlugin.manifest($0).replacingOccurrences(of: from, with: to)
    }
    let host = plugin.host
    let refusal = try #require(host.refusals.first { $0.path == plugin.manifestPath })
    #expect(refusal.reason.contains(mention), "\(refusal.reason)")
    // Who asks for its component hears the reason too.
    let error = #expect(throws: ScalingError.self) { try host.component(.strategy, plugin.id) }
    #expect(error?.code == .refused)
    #expect(error?.message.contains(mention) == true)
  }
}

@Suite struct ManifestTests {
  private static let good = FixturePlugin.manifest("good").replacingOccurrences(
    of: #""summary": "A test fixture.""#,
    with: #"""
      "summary": "A test fixture.", "default_scorers": ["s"], "default_extractor": "e",
      "options": [{"name": "n", "type": "integer", "min": 1, "max": 9, "default": 3,
                   "summary": "How many."}]
      """#)

  private func parse(_ text: String) throws -> PluginManifest {
    try PluginManifest(data: Data(text.utf8), file: "/p/x.martlet-plugin.json")
  }

  @Test func aGoodOneIsRead() throws {
    let manifest = try parse(Self.good)
    #expect(manifest.id == "good")
    #expect(manifest.components[0].options[0].maximum == 9)
    #expect(manifest.components[0].defaultScorers == ["s"])
  }

  @Test(arguments: [
    (#""schema": 1, "#, "", "schema"),
    (#""schema": 1"#, #""schema": 2"#, "schema"),
    (#""schema": 1"#, #""schema": "1""#, "schema"),
    (#""id": "good", "version""#, #""id": "Good!", "version""#, "id"),
    (#""version": "1.0.0", "#, "", "version"),
    (#""minor": 0"#, #""minor": -1"#, "abi.minor"),
    (#""minor": 0"#, #""minor": 0, "patch": 2"#, "abi.patch"),
    (#""library": "libfixture.so""#, #""library": "../libfixture.so""#, "library"),
    (#""language": "c""#, #""language": "swift""#, "swift_runtime"),
    (#""license": "Apache-2.0","#, "", "license"),
    (#""license": "Apache-2.0","#, #""license": "Apache-2.0", "licence": "x","#, "licence"),
    (#""kind": "strategy""#, #""kind": "oracle""#, "components[0].kind"),
    (#""kind": "strategy""#, #""kind": "oracle""#, "components[0].kind"),
    (#""type": "integer""#, #""type": "int""#, "components[0].options[0].type"),
    (#""default": 3"#, #""default": 30"#, "components[0].options[0].default"),
    (#""default": 3"#, #""default": "three""#, "components[0].options[0].default"),
    (#""default": 3,"#, "", "components[0].options[0].default"),
    (#""min": 1"#, #""min": 10"#, "components[0].options[0].min"),
    (#""name": "n""#, #""name": "n=1""#, "components[0].options[0].name"),
    (#"["s"]"#, #"[1]"#, "components[0].default_scorers[0]"),
  ])
  func faultsNameFileAndField(from: String, to: String, field: String) throws {
    let text = Self.good.replacingOccurrences(of: from, with: to)
    #expect(text != Self.good)
    let error = #expect(throws: ScalingError.self) { try parse(text) }
    #expect(error?.code == .manifest)
    #expect(error?.message.contains("/p/x.martlet-plugin.json") == true)
    #expect(error?.message.contains("'\(field)'") == true, "\(error?.message ?? "")")
  }

  @Test(arguments: ["", "{", "[]", "null", "{\"schema\": 1", "\u{0}"])
  func whatIsNotAManifestIsAnError(text: String) {
    let error = #expect(throws: ScalingError.self) { try parse(text) }
    #expect(error?.code == .manifest)
    #expect(error?.message.hasPrefix("/p/x.martlet-plugin.json") == true)
  }
}
