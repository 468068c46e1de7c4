import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// Says what it was told in a note, else that it does not know; what stands up to the last `|` is a question.
private struct Pupil: SimulatedWorld {
  let codec: any TokenCodec = ByteCodec()

  func logits(after tokens: [Int32]) -> [Float] {
    var row = [Float](repeating: -.infinity, count: codec.vocabularySize)
    let bytes = tokens.filter { $0 < 256 }.map { UInt8($0) }
    let start = (bytes.lastIndex { $0 == UInt8(ascii: "|") } ?? -1) + 1
    let told = String(decoding: bytes[..<start], as: UTF8.self)
    let reply = Array(
      (told.hasSuffix("sleep|")
        ? "the sum is nine, I have found after a while"
        : told.contains("nine") ? "#9" : "#3").utf8)
    let place = bytes.count - start
    row[place < reply.count ? Int(reply[place]) : 256] = 0
    return row
  }
}

/// Asked with `N …|` what helps, names it unless it was told; with that it knows the answer.
private struct Noter: SimulatedWorld {
  let codec: any TokenCodec = ByteCodec()

  func logits(after tokens: [Int32]) -> [Float] {
    var row = [Float](repeating: -.infinity, count: codec.vocabularySize)
    let bytes = tokens.filter { $0 < 256 }.map { UInt8($0) }
    let start = (bytes.lastIndex { $0 == UInt8(ascii: "|") || $0 == UInt8(ascii: "?") } ?? -1) + 1
    let told = String(decoding: bytes[..<start], as: UTF8.self)
    let isKnown = told.contains("carry")
    let reply = told.hasPrefix("N") ? (isKnown ? "NONE" : "carry") : isKnown ? "#5" : "so\nso\nso\n"
    let place = bytes.count - start
    row[place < reply.utf8.count ? Int(Array(reply.utf8)[place]) : 256] = 0
    return row
  }
}

private let options = ["prepare={context} sleep|", "wake={context} {thought} "]

private func asked(_ memory: String? = "nearest-notes", _ more: [String] = []) throws -> RunRequest
{
  var wanted = try request(
    "4 and 5\n---\nsum?|", "sleep-time", options + more, maxTokens: 100)
  wanted.memory = memory
  return wanted
}

@Suite("Memories")
struct MemoryTests {
  @Test("what a run remembered is there for the next, and gone with the session")
  func fromRunToRun() async throws {
    let (session, engine) = try makeSession(Pupil())
    let first = try await session.run(asked())
    let second = try await session.run(asked())
    #expect(first.text == "#9" && second.text == "#9" && first.memory == "nearest-notes")
    #expect(try first.json().contains("\"memory\" : \"nearest-notes\""))
    // The thought was not thought again.
    #expect(first.usage.generatedTokens > 40 && second.usage.generatedTokens == 3)
    // Other options are another memory, and so is another session's.
    let apart = try await session.run(asked("nearest-notes", ["memory.capacity=7"]))
    let (fresh, _) = try makeSession(Pupil())
    let elsewhere = try await fresh.run(asked())
    #expect(apart.withoutTiming == first.withoutTiming)
    #expect(elsewhere.withoutTiming == first.withoutTiming)
    let without = try await session.run(asked(nil))
    #expect(without.usage == first.usage && without.memory == nil)
    #expect(engine.pagesInUse == 0)
  }

  @Test("a file keeps it from session to session, for its owner alone")
  func file() async throws {
    let folder = try TemporaryFolder()
    let file = "\(folder.path)/notes.jsonl"
    var used: [Int] = []
    for _ in 0..<2 {
      let (session, _) = try makeSession(Pupil())
      used.append(
        try await session.run(asked("nearest-notes", ["memory.file=\(file)"])).usage.generatedTokens
      )
    }
    #expect(used[0] > 40 && used[1] == 3)
    let text = try String(contentsOfFile: file, encoding: .utf8)
    #expect(
      text == #"{"key":"4 and 5","text":"the sum is nine, I have found after a while"}"# + "\n")
    let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
    #expect(mode == 0o600)

    // A line that was cut short is taken off, a damaged one named.
    try Data((text + "{\"key\":\"half").utf8).write(to: URL(fileURLWithPath: file))
    let mended = try PluginMemory("nearest-notes", options: ["file": file], plugins: shipped)
    #expect(try mended.recall("4 and 5", top: 9).count == 1)
    try mended.store("another", under: "4 and 6")
    #expect(try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").count == 2)
    // So is one that another writer leaves while this one has the file.
    let appending = try #require(FileHandle(forWritingAtPath: file))
    try appending.seekToEnd()
    try appending.write(contentsOf: Data("{\"key\":\"cut".utf8))
    try appending.close()
    try mended.store("third", under: "4 and 7")
    let reread = try PluginMemory("nearest-notes", options: ["file": file], plugins: shipped)
    #expect(
      try reread.recall("4", top: 9).map(\.text).sorted().suffix(2) == [
        "the sum is nine, I have found after a while", "third",
      ])
    try Data((text + "[1]\n" + text).utf8).write(to: URL(fileURLWithPath: file))
    let damaged = #expect(throws: ScalingError.self) {
      _ = try PluginMemory("nearest-notes", options: ["file": file], plugins: shipped)
    }
    #expect(damaged?.message.contains("notes.jsonl: line 2 is no note") == true)
    let nowhere = #expect(throws: ScalingError.self) {
      try PluginMemory("nearest-notes", options: ["file": "/nowhere/x"], plugins: shipped)
        .store("a", under: "b")
    }
    #expect(nowhere?.message.contains("/nowhere/x cannot be opened") == true)
  }

  @Test("notes are found by rare words, equal ones oldest first, and the oldest give way")
  func nearest() throws {
    let memory = try PluginMemory("nearest-notes", options: ["capacity": "4"], plugins: shipped)
    #expect(try memory.recall("anything", top: 5).isEmpty)
    for (key, text) in [
      ("the red house", "a"), ("the blue house", "b"), ("the Blue HOUSE", "c"), ("the sea", "d"),
      ("the sea", "d"),
    ] { try memory.store(text, under: key) }
    let found = try memory.recall("house, blue!", top: 9)
    #expect(found.map(\.text) == ["b", "c", "a"] && found[0].score == found[1].score)
    #expect(found[0].key == "the blue house")
    #expect(try memory.recall("house, blue!", top: 1) == [found[0]])
    // A word that stands everywhere says little; one that stands once says much.
    let rare = try memory.recall("the sea", top: 9)
    #expect(rare[0].text == "d" && rare[0].score > 3 * rare[1].score)
    try memory.store("e", under: "a hill")
    #expect(try memory.recall("red", top: 9).isEmpty)
    #expect(try memory.recall("sea", top: 9).map(\.text) == ["d"])
    #expect(throws: ScalingError.self) { try memory.store("no key", under: "") }
    #expect(throws: ScalingError.self) { _ = try memory.recall("a", top: 0) }
    #expect(throws: ScalingError.self) { _ = try memory.recall("a", top: 5000) }
  }

  @Test("a search is shown what earlier searches noted")
  func associations() async throws {
    let (session, _) = try makeSession(Noter())
    var wanted = try request(
      "2+3?", "associated-thoughts",
      [
        "step=\\n", "simulations=2", "expand=1", "batch=1", "associate=N {text} {memory}|",
        "note={note}|", "note_tokens=8",
      ], maxTokens: 12)
    wanted.judge = { $0.text.contains("carry") ? 0.8 : 0.4 }
    wanted.memory = "nearest-notes"
    func counts() async throws -> [String: Int] {
      let trace = TraceRecorder()
      let result = try await session.run(wanted, trace: trace)
      let json = try JSONSerialization.jsonObject(with: trace.json(result: result))
      let events = (json as? [String: Any])?["traceEvents"] as? [[String: Any]]
      let event = try #require(events?.first { $0["name"] as? String == "associations" })
      return (event["args"] as? [String: Any] ?? [:]).compactMapValues { $0 as? Int }
    }
    let (first, second) = (try await counts(), try await counts())
    #expect(first["remembered"] == 1 && first["recalled"] == 0)
    // It is known, so the model has nothing to add.
    #expect(second["recalled"] ?? 0 > 0 && second["notes"] == 0)
  }

  @Test("a replay recalls what the recorded run did, whatever was stored since")
  func replay() async throws {
    let (session, _) = try makeSession(Pupil())
    _ = try await session.run(asked())
    let recorder = TraceRecorder()
    let fresh = try await session.run(asked(), trace: recorder)
    let trace = try recorder.json(result: fresh)
    let again = try await Replay(trace, plugins: shipped).run()
    #expect(again.withoutTiming == fresh.withoutTiming && again.usage.generatedTokens == 3)
    // A question that it was never asked.
    let other = try await Replay(trace, plugins: shipped).run {
      $0.strategy = "sleep-time"
      $0.options["separator"] = "and"
    }
    #expect(other.stoppedBecause == .notRecorded)
    #expect(other.failure?.contains("never asked its memory") == true, "\(other.failure ?? "")")
  }

  @Test("in a process of its own it finds the same")
  func isolated() async throws {
    let host = PluginHost(isolation: PluginIsolation())
    let (session, _) = try makeSession(Pupil())
    let (other, engine) = try makeSession(Pupil(), plugins: host)
    for _ in 0..<2 {
      let (here, there) = (try await session.run(asked()), try await other.run(asked()))
      #expect(here.withoutTiming == there.withoutTiming)
    }
    let folder = try TemporaryFolder()
    let memory = try PluginMemory(
      "nearest-notes", options: ["file": "\(folder.path)/n"], plugins: host)
    let long = String(repeating: "word ", count: 100_000)
    try memory.store(long, under: "long")
    try memory.store("", under: "empty \u{1F600}")
    #expect(try memory.recall("long empty", top: 3).map(\.text).sorted() == ["", long])
    #expect(engine.pagesInUse == 0)
  }

  @Test("one whose process died is made anew for the next run")
  func died() async throws {
    let plugin = try FixturePlugin("memory_dies", manifest: FixturePlugin.memoryManifest)
    let host = PluginHost(
      searchPath: .standard(directories: [plugin.folder.path]), isolation: PluginIsolation())
    let (session, engine) = try makeSession(Pupil(), plugins: host)
    var failures: [String] = []
    let wanted = try asked("memory-dies")
    for _ in 0..<2 {
      do throws(ScalingError) {
        failures.append(try await session.run(wanted).failure ?? "none")
      } catch {
        failures.append(error.message)
      }
    }
    // The second run, too, comes as far as keeping a note.
    #expect(failures[0].contains("store") && failures[0] == failures[1], "\(failures)")
    #expect(engine.pagesInUse == 0)
  }

  @Test("what is wrong with a request is said before it runs")
  func refusals() async throws {
    let (session, _) = try makeSession(Pupil())
    for (memory, set, part) in [
      ("nobody", [], "there is no memory 'nobody'; there are: nearest-notes"),
      ("nearest-notes", ["memory.capacity=0"], "must be an integer from 1 to 65536"),
      ("nearest-notes", ["memory.size=1"], "no option 'size'"),
      (nil, ["memory.capacity=2"], "option 'memory.capacity' does nothing without a memory"),
    ] as [(String?, [String], String)] {
      let wanted = try asked(memory, set)
      let error = #expect(throws: ScalingError.self) { try session.validate(wanted) }
      #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
      await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    }
  }

  @Test(
    "a bad memory fails its case",
    arguments: [
      (
        "memory_limited", .options, "with size=16: memory 'memory-limited' failed in create: nobody"
      ),
      ("memory_reaches", .isolation, "permission \"network\""),
      ("memory_forgets_order", .notes, "finds other notes"),
      ("memory_invents", .notes, "was never stored"),
      ("memory_outlives", .notes, "before any was stored"),
      ("memory_miscounts", .notes, "9 notes where"), ("memory_unordered", .notes, "the score 1"),
      ("memory_fails", .notes, "there is no paper left"),
    ] as [(String, PluginChecker.Case, String)])
  func badOnes(name: String, failing: PluginChecker.Case, detail: String) async throws {
    let plugin = try FixturePlugin(name, manifest: FixturePlugin.memoryManifest)
    let checker = PluginChecker(prompt: "?") { _ in
      SimulatedBackend(world: HashedWorld(seed: 3))
    }
    let report = await checker.runCase(failing, path: plugin.manifestPath)
    #expect(!report.passed && report.detail.contains(detail), "\(report.detail)")
  }
}

extension FixturePlugin {
  static func memoryManifest(_ id: String) -> String {
    manifest(id).replacingOccurrences(of: #""kind": "strategy""#, with: #""kind": "memory""#)
      .replacingOccurrences(
        of: #""summary": "A test fixture.""#,
        with: #"""
          "summary": "A test fixture.", "options": [{"name": "size", "type": "integer", "min": 1,
          "max": 16, "default": 8, "summary": "Room."}]
          """#)
  }
}
