import Foundation
import Testing

/// A C program on `include/martlet/engine.h` and the shared library, compiled without warnings as C and
/// as C++ and run with the address sanitizer, which also finds what is never freed.
@Suite struct EngineHeaderTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  /// Compiled once for all tests, into a folder that lives as long as they do.
  private static let program = Result { () throws -> (folder: TemporaryFolder, path: String) in
    let folder = try TemporaryFolder()
    let path = folder.url.appendingPathComponent("program").path
    let products = URL(fileURLWithPath: Tool.path).deletingLastPathComponent().path
    let compiled = try runProgram([
      "cc", "-std=c17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined",
      "-I", root.appendingPathComponent("include").path,
      root.appendingPathComponent("Tests/EngineProgram/program.c").path,
      "-L", products, "-lMartletC", "-lm", "-pthread", "-Wl,-rpath,\(products)", "-o", path,
    ])
    #expect(compiled.code == 0, "\(compiled.text)")
    return (folder, path)
  }

  private func run(_ words: String...) throws -> String {
    let ran = try runProgram([try Self.program.get().path] + words)
    try #require(ran.code == 0, "\(ran.text)")
    return ran.text
  }

  @Test func theResultIsThatOfTheCommandLine() throws {
    let own = try #require(
      JSONSerialization.jsonObject(with: Data(try run("result").utf8)) as? [String: Any])
    let tool = try Tool.run([
      "run", "make 46 from 3 7 25?", "--strategy", "best-of-n", "--set", "n=8", "--seed", "3",
      "--budget", "tokens=300", "--no-tuning", "--json",
    ]).object()
    #expect(Set(own.keys) == Set(tool.keys))
    for key in own.keys where key != "timing" {
      #expect((own[key] as? NSObject) == (tool[key] as? NSObject), "\(key)")
    }
  }

  @Test(arguments: ["stream", "cancel", "threads", "inside"])
  func callsDoWhatTheHeaderSays(name: String) throws {
    #expect(try run(name) == "")
  }

  @Test func misuseIsAStatusAndAMessage() throws {
    let folder = try TemporaryFolder()
    let file = try folder.file("model.gguf", Data("GGUF, but not really".utf8))
    #expect(try run("misuse", file.path) == "")
  }

  @Test func pluginsAreListedAsByTheTool() throws {
    let own = try #require(
      JSONSerialization.jsonObject(with: Data(try run("plugins").utf8)) as? [[String: String]])
    let tool = try #require(
      JSONSerialization.jsonObject(with: Data(try Tool.run(["plugin", "list", "--json"]).out.utf8))
        as? [[String: String]])
    #expect(own.map { $0["id"] } == tool.map { $0["id"] } && own.count > 10)
    #expect(own.map { $0["path"] } == tool.map { $0["path"] })
  }

  /// The program in docs/c.md, as it is printed there.
  @Test func theGuidesProgramPrintsWhatItSays() throws {
    let guide = try String(
      contentsOf: Self.root.appendingPathComponent("docs/c.md"), encoding: .utf8)
    func block(_ language: String) throws -> Substring {
      let begin = try #require(guide.range(of: "```\(language)\n")).upperBound
      return guide[
        begin..<(try #require(guide.range(of: "```", range: begin..<guide.endIndex))).lowerBound]
    }
    let folder = try TemporaryFolder()
    let source = try folder.file("ask.c", Data(try block("c").utf8)).path
    let program = folder.url.appendingPathComponent("ask").path
    let products = URL(fileURLWithPath: Tool.path).deletingLastPathComponent().path
    let compiled = try runProgram([
      "cc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-I",
      Self.root.appendingPathComponent("include").path, source, "-L", products, "-lMartletC",
      "-Wl,-rpath,\(products)", "-o", program,
    ])
    #expect(compiled.code == 0, "\(compiled.text)")
    let ran = try runProgram([program])
    let expected = String(try block("text"))
    #expect(ran.code == 0 && ran.text == expected, "\(ran.text)")
  }

  @Test func theHeaderIsCPlusPlusToo() throws {
    let folder = try TemporaryFolder()
    let source = try folder.file("header.cpp", Data("#include <martlet/engine.h>\n".utf8)).path
    let compiled = try runProgram([
      "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I",
      Self.root.appendingPathComponent("include").path, source,
    ])
    #expect(compiled.code == 0, "\(compiled.text)")
  }

  /// Options of `martlet run` that have no place in `engine.h`, and why.
  private static let toolOnly: Set<String> = [
    "model",  // A field of martlet_engine_options.
    "stream", "json", "help", "version",  // A callback; the result always is JSON; of the tool.
    "trace", "draft-memory",  // Files that the tool writes at the end of its one run.
  ]

  /// Every option of `martlet run` is known to `engine.h`, whose comments list the names, or is named
  /// above; and the other way round.
  @Test func optionsHaveTheNamesOfTheCommandLine() throws {
    let help = try Tool.run(["run", "--help"]).out
    let options = Set(help.matches(of: /--([a-z]+(-[a-z]+)*)[ ,]/).map { String($0.1) })
      .filter { help.contains(try! Regex("(?m)^  (-[a-z], )?--\($0)[ ,\\n]")) }
    let header = try String(
      contentsOf: Self.root.appendingPathComponent("include/martlet/engine.h"), encoding: .utf8)
    let listed = header.replacing("\n  ///", with: "").matches(of: /Names[^`]*((`[^`]+`[^`.;]*)+)/)
      .flatMap { $0.1.matches(of: /`([a-z-]+)`/).map { String($0.1) } }
    #expect(options.count > 20 && listed.count > 20)
    let missing = options.subtracting(listed).subtracting(Self.toolOnly)
    #expect(
      missing.isEmpty,
      """
      martlet run takes \(missing.sorted()), which C cannot say: read them in \
      Sources/MartletC/RequestOptions.swift (or OptionsJSON.swift) and list them in engine.h, or add \
      them to toolOnly with the reason
      """)
    #expect(Set(listed).subtracting(options).isEmpty, "\(Set(listed).subtracting(options))")
  }
}
