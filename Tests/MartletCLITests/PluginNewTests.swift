import Foundation
import Testing

/// `martlet plugin new`: what it makes builds without warnings, passes its own test and the check.
@Suite struct PluginNewTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
  private static let kinds = ["strategy", "scorer", "extractor", "drafter", "sampler", "memory"]

  private func make(_ name: String, _ arguments: String..., in folder: TemporaryFolder) throws
    -> Tool.Output
  {
    try Tool.run(["plugin", "new", name] + arguments + ["--directory", folder.url.path])
  }

  @Test(arguments: kinds) func aPluginInCBuildsAndPasses(kind: String) throws {
    let folder = try TemporaryFolder()
    let made = try make("even-better-\(kind)", "--language", "c", "--kind", kind, in: folder)
    #expect(made.code == 0 && made.out.contains("even-better-\(kind)"), "\(made.error)")
    let plugin = folder.url.appendingPathComponent("even-better-\(kind)").path
    let tested = try runProgram(["make", "-C", plugin, "test", "MARTLET=\(Tool.path)"])
    #expect(tested.code == 0 && tested.text.contains(" passed, 0 failed"), "\(tested.text)")
    // It installs where it is told to, and is found there.
    let place = folder.url.appendingPathComponent("plugins").path
    let installed = try runProgram(["make", "-C", plugin, "install", "PLUGINDIR=\(place)"])
    #expect(installed.code == 0, "\(installed.text)")
    let listed = try Tool.run(["plugin", "list", "--plugin-dir", place]).out
    #expect(listed.contains("org.example.even-better-\(kind)"))
  }

  /// Compiled against the author kit of this build; scripts/check-install.sh builds one as its user
  /// would, with its package and its unit test.
  @Test(arguments: kinds) func aPluginInSwiftBuildsAndPasses(kind: String) throws {
    let folder = try TemporaryFolder()
    let id = "com.example.second.\(kind)"
    let made = try make(
      "second", "--language", "swift", "--kind", kind, "--id", id, in: folder)
    #expect(made.code == 0, "\(made.error)")
    let package = folder.url.appendingPathComponent("second")
    let sources = package.appendingPathComponent("Sources/SecondPlugin")
    let products = URL(fileURLWithPath: Tool.path).deletingLastPathComponent()
    let kit = products.appendingPathComponent("MartletPlugin.build")
    let objects = try FileManager.default.contentsOfDirectory(atPath: kit.path)
      .filter { $0.hasSuffix(".o") }.map { kit.appendingPathComponent($0).path }
    let compiled = try runProgram(
      [
        "swiftc", "-swift-version", "6", "-warnings-as-errors", "-emit-library", "-module-name",
        "SecondPlugin", "-I", products.appendingPathComponent("Modules").path, "-Xcc",
        "-fmodule-map-file=\(Self.root.path)/include/module.modulemap", "-o",
        sources.appendingPathComponent("libSecondPlugin.so").path,
        sources.appendingPathComponent("Entry.swift").path,
        sources.appendingPathComponent("Second.swift").path,
      ] + objects)
    #expect(compiled.code == 0, "\(compiled.text)")
    let checked = try Tool.run(["plugin", "check", sources.path])
    #expect(checked.code == 0 && checked.out.contains(" passed, 0 failed"), "\(checked.out)")
    let manifest = try String(
      contentsOf: sources.appendingPathComponent("SecondPlugin.martlet-plugin.json"),
      encoding: .utf8)
    #expect(manifest.contains("\"\(id)\"") && !manifest.contains("{{"))
    let described = try runProgram([
      "swift", "package", "--package-path", package.path, "dump-package",
    ])
    #expect(
      described.code == 0 && described.text.contains("SecondPluginTests"), "\(described.text)")
  }

  @Test(arguments: ["", "Upper", "1st", "-x", "a--b", "a_b", "a.b", "../up", "a b", "martlet", "ä"])
  func aNameThatCannotBeIsRefused(name: String) throws {
    let folder = try TemporaryFolder()
    let made = try Tool.run([
      "plugin", "new", "--language", "c", "--directory", folder.url.path, "--", name,
    ])
    #expect(made.code == 64 && made.error.contains("'\(name)'"), "\(made.error)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path).isEmpty)
  }

  @Test func whatIsThereIsLeftAlone() throws {
    let folder = try TemporaryFolder()
    let file = try folder.file("taken", Data("mine".utf8))
    let taken = try make("taken", "--language", "c", in: folder)
    #expect(taken.code == 64 && taken.error.contains("is there already"), "\(taken.error)")
    #expect(try Data(contentsOf: file) == Data("mine".utf8))
    #expect(try make("fresh", "--language", "c", in: folder).code == 0)
    #expect(try make("fresh", "--language", "swift", in: folder).code == 64)
    let missing = try Tool.run([
      "plugin", "new", "x", "--language", "c", "--directory", "/no/such/folder",
    ])
    #expect(missing.code == 66 && missing.error.contains("/no/such/folder"), "\(missing.error)")
    let kit = try make("other", "--language", "c", "--kit", folder.url.path, in: folder)
    #expect(kit.code == 66 && kit.error.contains("plugin.h"), "\(kit.error)")
    let id = try make("other", "--language", "c", "--id", "Org.Example", in: folder)
    #expect(id.code == 64 && id.error.contains("Org.Example"), "\(id.error)")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.url.path).sorted() == [
        "fresh", "taken",
      ])
  }
}
