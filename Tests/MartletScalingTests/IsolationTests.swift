import CIsolation
import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// The shipped plugins, each in a process of its own.
private let isolated = PluginHost(isolation: PluginIsolation())

/// Waits until a condition holds, for what ends a moment after a run.
private func eventually(_ condition: () -> Bool) async throws -> Bool {
  for _ in 0..<2000 {
    if condition() { return true }
    try await Task.sleep(for: .milliseconds(5))
  }
  return false
}

@Suite("Plugins in processes of their own") struct IsolationTests {
  @Test("every strategy answers the same bit for bit", arguments: methods)
  func sameAnswers(id: String, options: [String]) async throws {
    let (session, engine) = try makeJudged()
    let (other, otherEngine) = try makeJudged(plugins: isolated)
    for seed in UInt64(1)...3 {
      let here = try await runMethod(id, options, seed: seed, session: session)
      let there = try await runMethod(id, options, seed: seed, session: other)
      #expect(here.withoutTiming == there.withoutTiming, "seed \(seed)")
    }
    for tokens in [1, 5, 17] {
      let budget = Budget(tokens: tokens)
      let here = try await runMethod(id, options, seed: 2, session: session, budget: budget)
      let there = try await runMethod(id, options, seed: 2, session: other, budget: budget)
      #expect(here.withoutTiming == there.withoutTiming, "\(tokens) tokens")
      #expect(there.usage.generatedTokens <= tokens)
    }
    #expect(engine.pagesInUse == 0 && otherEngine.pagesInUse == 0)
  }

  @Test("shipped scorers and the drafter judge and guess the same")
  func sameJudgements() async throws {
    for scorer in ["mean-logprob", "certainty", "exact-checker"] {
      let texts = [" 3*7=21 21+25=46 #", " 7-3=4 #", ""].map {
        JudgedText(prompt: "make 46 from 3 7 25?", text: $0, logprobs: [-0.5, -0.25, -1e-8])
      }
      let here = try TextJudge(plugins: shipped, scorer: scorer, extractor: "final-answer")
      let there = try TextJudge(plugins: isolated, scorer: scorer, extractor: "final-answer")
      for text in texts {
        #expect(outcome { try here.score(text) } == outcome { try there.score(text) })
        #expect(outcome { try here.extract(text) } == outcome { try there.extract(text) })
      }
    }
    let (here, there) = (
      try PluginDrafter("phrases", plugins: shipped),
      try PluginDrafter("phrases", plugins: isolated)
    )
    let text = (0..<200).map { Int32(($0 * $0) % 7) }
    for length in [1, 2, 50, 200] {
      let asked = [(UInt64(1), Array(text.prefix(length)), 4), (UInt64(2), [3, 3, 3], 2)]
      let (a, b) = (
        try here.guesses(after: asked, most: 8), try there.guesses(after: asked, most: 8)
      )
      #expect(
        a.map { $0.map { "\($0.token) \($0.parent) \($0.probability)" } }
          == b.map { $0.map { "\($0.token) \($0.parent) \($0.probability)" } })
    }
  }

  @Test("samplers change rows in place and texts stay the same")
  func sameSamples() async throws {
    let (session, engine) = try makeSession(HashedWorld(seed: 5, endBias: -.infinity))
    let (other, otherEngine) = try makeSession(
      HashedWorld(seed: 5, endBias: -.infinity), plugins: isolated)
    var plain: Set<String> = []
    for strategy in ["sample", "best-of-n"] {
      var wanted = try request("abc", strategy, maxTokens: 60)
      plain.insert(try await session.run(wanted).text)
      wanted.sampler = "p-less"
      let (here, there) = (try await session.run(wanted), try await other.run(wanted))
      #expect(here.withoutTiming == there.withoutTiming)
      #expect(!plain.contains(here.text))
    }
    #expect(engine.pagesInUse == 0 && otherEngine.pagesInUse == 0)
    // A row as large as vocabularies are, with a long text before it.
    let (here, there) = (
      try PluginSampler("p-less", plugins: shipped), try PluginSampler("p-less", plugins: isolated)
    )
    var rows = [[Float]](
      repeating: (0..<128_256).map { Float(($0 &* 2_654_435_761) % 1000) * 0.02 }, count: 2)
    let choice = LogitsChoice(tokens: Array(0..<30_000), generatedTokens: 3, noise: 9)
    try here.process(&rows[0], for: choice)
    try there.process(&rows[1], for: choice)
    #expect(rows[0] == rows[1] && rows[0].contains(-.infinity))
  }

  @Test(
    "a bad sampler apart ends its run with the reason",
    arguments: [
      ("sampler_slow", "of processor time for one row"), ("sampler_fails", "process"),
      ("sampler_crashes", "signal 11"), ("sampler_hangs", "of processor time for one row"),
    ])
  func badSamplers(name: String, reason: String) async throws {
    let plugin = try FixturePlugin(name, manifest: FixturePlugin.samplerManifest)
    let (session, engine) = try makeSession(
      HashedWorld(seed: 5, endBias: -.infinity), plugins: plugin.host(PluginIsolation()))
    var wanted = try request("abc", "sample", maxTokens: 60)
    wanted.sampler = plugin.id
    let bad = wanted
    let error = await #expect(throws: ScalingError.self) { try await session.run(bad) }
    #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
    wanted.sampler = nil
    #expect(try await session.run(wanted).stoppedBecause == .length)
    #expect(engine.pagesInUse == 0)
  }

  private static func manifestOfAll(_ id: String) -> String {
    FixturePlugin.manifest(id).replacingOccurrences(
      of: #""summary": "A test fixture.""#,
      with: #"""
        "summary": "A test fixture.", "options": [
          {"name": "n", "type": "integer", "default": 7, "summary": "n"},
          {"name": "x", "type": "number", "default": 0.25, "summary": "x"},
          {"name": "text", "type": "text", "default": "some text", "summary": "text"}]
        """#)
  }

  @Test("every function of the table passes through and gives the same")
  func everyFunction() async throws {
    let plugin = try FixturePlugin("every_function", manifest: Self.manifestOfAll)
    let (session, _) = try makeSession(HashedWorld(seed: 5, endBias: 2.5), plugins: plugin.host)
    let (other, engine) = try makeSession(
      HashedWorld(seed: 5, endBias: 2.5), plugins: plugin.host(PluginIsolation()))
    var wanted = try request("abc", plugin.id, maxTokens: 20, budget: Budget(tokens: 500))
    wanted.scorer = "mean-logprob"
    wanted.extractor = "final-answer"
    wanted.memory = "nearest-notes"
    let here = try await session.run(wanted)
    let there = try await other.run(wanted)
    #expect(here.withoutTiming == there.withoutTiming)
    #expect(here.text.contains("asked 3") && here.text.contains("thread"), "\(here.text)")
    #expect(engine.pagesInUse == 0)
    var functions = 0
    while let name = martlet_isolated_function(UInt32(functions)).map({ String(cString: $0) }) {
      // These two are answered where they are called.
      if !["extension", "last_error"].contains(name) {
        #expect(martlet_isolated_served(UInt32(functions)) > 0, "'\(name)' was never passed on")
      }
      functions += 1
    }
    #expect(functions == (MemoryLayout<martlet_host>.size - 8) / MemoryLayout<UInt>.size)
  }

  @Test("misuse gives the same statuses and never traps")
  func misuse() async throws {
    let plugin = try FixturePlugin("misuse")
    let (session, engine) = try makeSession(
      HashedWorld(seed: 5, endBias: 2.5), plugins: plugin.host(PluginIsolation()))
    for _ in 0..<2 {
      let result = try await session.run(request("abc", plugin.id, maxTokens: 20))
      #expect([.finished, .length].contains(result.stoppedBecause), "\(result.failure ?? "")")
    }
    #expect(engine.pagesInUse == 0)
  }

  @Test(
    "what is refused here is refused there, for the same reason",
    arguments: [
      ("wrong_size", "martlet_plugin states size"),
      ("wrong_strategy_size", "martlet_strategy of 'wrong-strategy-size' states size 4096"),
      ("built_for_zero", "plugin interface 0.4 and this host serves 1.0: build it again"),
      ("newer_minor", "plugin interface 1.1 and this host serves 1.0"),
      ("wrong_major", "plugin interface 2.0"),
      ("wrong_version", "version '2.0.0' and its manifest '1.0.0'"),
      ("reserved_kind", "kind 7"),
      ("null_function", "a function of strategy 'null-function' is null"),
      ("null_entry", "cannot serve"),
      ("missing_symbol", "martlet_plugin_entry"),
    ])
  func refusals(name: String, reason: String) async throws {
    let plugin = try FixturePlugin(name)
    let (session, _) = try makeSession(endless, plugins: plugin.host(PluginIsolation()))
    let wanted = try request("abc", plugin.id)
    let error = await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    #expect(error?.code == .refused)
    #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
  }

  @Test("a crash ends its run alone, naming the plugin and the signal")
  func crash() async throws {
    let plugin = try FixturePlugin("crash")
    let (session, engine) = try makeSession(
      HashedWorld(seed: 5, endBias: 2.5), plugins: plugin.host(PluginIsolation()))
    let wanted = try request("abc", plugin.id)
    async let beside = session.run(request("abc", "best-of-n", ["n=4"], maxTokens: 50))
    let error = await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    #expect(error?.code == .plugin)
    for part in ["strategy 'crash'", "plugin 'crash'", "signal 11 (SIGSEGV"] {
      #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
    }
    #expect(try await beside.stoppedBecause == .finished)
    #expect(engine.pagesInUse == 0)
  }

  @Test("a plugin that hangs is ended after its deadline, thread and process with it")
  func hang() async throws {
    let plugin = try FixturePlugin("hang")
    let (session, engine) = try makeSession(
      endless, plugins: plugin.host(PluginIsolation()), grace: .milliseconds(100))
    let result = try await session.run(request("abc", plugin.id, budget: Budget(seconds: 0.05)))
    #expect(result.stoppedBecause == .pluginHung)
    #expect(engine.pagesInUse == 0)
    #expect(try await eventually { !Self.isRunning(plugin.id) })
  }

  @Test("one that makes no call for too long is ended without any deadline")
  func stall() async throws {
    let plugin = try FixturePlugin("hang")
    var isolation = PluginIsolation()
    isolation.stallSeconds = 0.3
    let (session, engine) = try makeSession(endless, plugins: plugin.host(isolation))
    let wanted = try request("abc", plugin.id)
    let error = await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    #expect(error?.message.contains("plugin 'hang' hangs: it made no call for 0.3 s") == true)
    #expect(engine.pagesInUse == 0)
    // Another test's may be running beside it.
    #expect(try await eventually { !Self.isRunning(plugin.id) })
  }

  @Test("a cancelled run reaches the plugin, which returns its best so far")
  func cancellation() async throws {
    let (session, engine) = try makeSession(
      endless, plugins: isolated, cost: SimulatedCost(perForward: 0.005, sleeps: true))
    let work = Task { [session] in
      try await session.run(request("abc", "best-of-n", ["n=4"], maxTokens: 100_000))
    }
    // The root, and four branches that have begun to differ from it.
    #expect(try await eventually { engine.pagesInUse >= 5 })
    work.cancel()
    let result = try await work.value
    #expect(result.stoppedBecause == .cancelled)
    #expect(!result.text.isEmpty)
    #expect(engine.pagesInUse == 0)
  }

  @Test("processes wait for the next run, and go with their host")
  func processes() async throws {
    let plugin = try FixturePlugin("well_behaved")
    do {
      let host = plugin.host(PluginIsolation())
      let (session, _) = try makeSession(HashedWorld(seed: 5, endBias: 2.5), plugins: host)
      for seed in UInt64(1)...20 {
        _ = try await session.run(request("abc", plugin.id, seed: seed, maxTokens: 20))
      }
      #expect(Self.running(plugin.id).count == 1)
    }
    #expect(try await eventually { !Self.isRunning(plugin.id) })
  }

  @Test("many runs at once, with crashes among them, leave nothing behind")
  func many() async throws {
    let (crash, good) = (try FixturePlugin("crash"), try FixturePlugin("well_behaved"))
    let folders = [crash, good].map {
      PluginSearchPath.Folder(path: $0.folder.path, isExplicit: true, isOwn: false)
    }
    do {
      let host = PluginHost(
        searchPath: PluginSearchPath(folders: folders), isolation: PluginIsolation())
      let (session, engine) = try makeSession(HashedWorld(seed: 5, endBias: 2.5), plugins: host)
      let (crashing, working) = (crash.id, good.id)
      await withTaskGroup(of: Bool.self) { group in
        for index in 0..<24 {
          let id = index % 3 == 0 ? crashing : working
          group.addTask {
            let result = try? await session.run(
              request("abc", id, seed: UInt64(index), maxTokens: 20))
            return (result == nil) == (id == crashing)
          }
        }
        for await isAsExpected in group { #expect(isAsExpected) }
      }
      #expect(engine.pagesInUse == 0)
    }
    #expect(try await eventually { !Self.isRunning(crash.id) && !Self.isRunning(good.id) })
  }

  @Test("without the program the reason says what is missing")
  func helper() async throws {
    let plugin = try FixturePlugin("well_behaved")
    let (session, _) = try makeSession(
      endless, plugins: plugin.host(PluginIsolation(helper: "/nowhere/martlet-plugin-host")))
    let wanted = try request("abc", plugin.id)
    let error = await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    #expect(error?.code == .refused)
    #expect(error?.message.contains("/nowhere/martlet-plugin-host is not a program") == true)
    #expect(
      PluginIsolation.standardHelper(
        environment: ["MARTLET_PLUGIN_HOST": "/h"], isPrivileged: false) == "/h")
    #expect(
      PluginIsolation.standardHelper(environment: ["MARTLET_PLUGIN_HOST": "/h"], isPrivileged: true)
        != "/h")
  }

  /// The processes of a plugin that this process started.
  private static func running(_ id: String) -> [String] {
    let own = getpid()
    return ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).filter { name in
      guard let line = FileManager.default.contents(atPath: "/proc/\(name)/cmdline"),
        let status = FileManager.default.contents(atPath: "/proc/\(name)/stat")
      else { return false }
      let fields = String(decoding: status, as: UTF8.self).split(separator: ")").last?
        .split(separator: " ")
      return String(decoding: line, as: UTF8.self) == "martlet-plugin-host\0\(id)\0"
        && fields?.dropFirst().first.map(String.init) == "\(own)"
    }
  }

  private static func isRunning(_ id: String) -> Bool { !running(id).isEmpty }
}

/// What came of a call, failures by what they say.
private func outcome<Value>(_ body: () throws -> Value) -> String {
  do { return "\(try body())" } catch { return "failed: \(error)" }
}
