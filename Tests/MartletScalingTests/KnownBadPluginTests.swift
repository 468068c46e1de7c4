import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// Plugins that break a rule each, and what becomes of them.
@Suite struct KnownBadPluginTests {
  @Test(arguments: [
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
  func isRefusedWithTheReason(name: String, reason: String) async throws {
    let plugin = try FixturePlugin(name)
    let host = plugin.host
    let (session, engine) = try makeSession(endless, plugins: host)
    let wanted = try request("abc", plugin.id)
    let error = await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    #expect(error?.code == .refused)
    #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
    #expect(host.refusals.contains { $0.reason.contains(reason) })
    #expect(engine.pagesInUse == 0)
    // The same reason is what the checker's case reports.
    let report = try await check(plugin, .load)
    #expect(!report.passed && report.detail.contains(reason), "\(report.detail)")
  }

  @Test(arguments: [
    ("crash", PluginChecker.Case.lifecycle, "crash: signal 11"),
    ("hang", .lifecycle, "hang"),
    ("hang", .cancellation, "hang"),
    ("over_budget", .budget, "hang"),
    ("over_budget", .smallestBudget, "hang"),
    ("over_budget", .deadline, "hang"),
    ("stale_handle", .handles, "was released"),
    ("call_after_destroy", .handles, "the run is over"),
    ("nondeterministic", .determinism, "under one seed"),
    ("fails_early", .lifecycle, "the moon is in the wrong phase"),
    ("fails_late", .lifecycle, "plugin_failed"),
    ("over_budget", .totalBudget, "hang"),
    ("needs_pages", .fewPages, "eight branches are the least"),
    ("crashes_on_text", .texts, "crash: signal 6"),
    (
      "answers_after_commit", .rules,
      "4 calls that were refused; the first: the answer was committed"
    ),
    ("asks_finished", .rules, "finished"),
    ("submits_until", .rules, "'until' works with advance"),
    ("changes_in_until", .rules, "a callback may read branches"),
    ("keeps_asking", .latency, "101 times for more"),
    ("scorer_appends", .branches, "changed a branch that it was given"),
    ("scorer_wavers", .branches, "judges the same branches in two ways"),
    ("opens_socket", .isolation, "permission \"network\""),
    ("resamples_biased", .resampling, "the better scored half went on too often"),
    ("resamples_in_order", .resampling, "the first half of a population went on too often"),
  ])
  func failsItsCase(name: String, failing: PluginChecker.Case, detail: String) async throws {
    let report = try await check(try FixturePlugin(name, manifest: Self.manifest), failing)
    #expect(!report.passed)
    #expect(report.detail.contains(detail), "\(report.detail)")
  }

  @Test(arguments: [
    ("sampler_nan", "leaves NaN"), ("sampler_forbids", "nothing finite"),
    ("sampler_fails", "process"), ("sampler_slow", "of processor time"),
    ("sampler_remembers", "depends on the rows before it"),
    ("sampler_allows", "allows a token that was forbidden"),
  ])
  func aBadSamplerFailsItsCase(name: String, detail: String) async throws {
    let plugin = try FixturePlugin(name, manifest: FixturePlugin.samplerManifest)
    let report = try await check(plugin, .rows)
    #expect(!report.passed && report.detail.contains(detail), "\(report.detail)")
  }

  /// The usual manifest with what a case needs: a text option, a claim, another kind.
  private static func manifest(_ id: String) -> String {
    var text = FixturePlugin.manifest(id)
    func add(_ fields: String) {
      text = text.replacingOccurrences(
        of: #""summary": "A test fixture.""#, with: #""summary": "A test fixture.", \#(fields)"#)
    }
    if id == "crashes-on-text" {
      add(
        #""options": [{"name": "step", "type": "text", "default": "a", "summary": "What ends one."}]"#
      )
    }
    if id.hasPrefix("resamples-") { add(#""claims": ["unbiased-resampling"]"#) }
    if id.hasPrefix("scorer-") {
      text = text.replacingOccurrences(of: #""kind": "strategy""#, with: #""kind": "scorer""#)
    }
    return text
  }

  @Test func oneSeedGivesOneReport() async throws {
    let plugin = try FixturePlugin("resamples_biased", manifest: Self.manifest)
    let (probe, path) = (probe, plugin.manifestPath)
    func detail(_ seed: Int) async -> String {
      await checker.run(.resampling, timeout: .seconds(60)) {
        (probe, [path, $0.rawValue, "\(seed)"])
      }
      .detail
    }
    let first = await detail(7)
    #expect(await detail(7) == first)
    #expect(await detail(8) != first)
  }

  @Test func aGoodOnePassesAllCases() async throws {
    let plugin = try FixturePlugin("well_behaved")
    for report in await checkAll(plugin.manifestPath) {
      #expect(report.passed, "\(report.name): \(report.detail)")
    }
  }

  @Test(arguments: [
    "BestOfN", "BestOfNC", "SelfConsistency", "FirstFinish", "ExactChecker", "MeanLogprob",
    "FinalAnswer", "Certainty", "PTrue", "ParticleFilter", "AStarDecoding", "TreeSearch",
    "SemanticEntropy", "ComputeOptimal", "RepeatedSampling", "Phrases", "PLess", "NearestNotes",
  ])
  func theShippedOnesPassAllCases(name: String) async throws {
    let folder = URL(fileURLWithPath: PluginSearchPath.currentExecutable)
      .deletingLastPathComponent().path
    let reports = await checkAll("\(folder)/libMartlet\(name).so")
    #expect(reports.map(\.name) == PluginChecker.Case.allCases)
    for report in reports { #expect(report.passed, "\(report.name): \(report.detail)") }
  }

  @Test func misuseGivesStatusesAndNeverTraps() async throws {
    let plugin = try FixturePlugin("misuse")
    let (session, engine) = try makeSession(
      HashedWorld(seed: 5, endBias: 2.5), plugins: plugin.host)
    // Twice: the second run also tries the branch and the run handle of the first.
    for _ in 0..<2 {
      let result = try await session.run(request("abc", plugin.id, maxTokens: 20))
      #expect([.finished, .length].contains(result.stoppedBecause), "\(result.failure ?? "")")
    }
    #expect(engine.pagesInUse == 0)
  }

  @Test func anAnswerOutlivesAFailure() async throws {
    let plugin = try FixturePlugin("fails_late")
    let (session, _) = try makeSession(HashedWorld(seed: 5, endBias: 2.5), plugins: plugin.host)
    let result = try await session.run(request("abc", plugin.id, maxTokens: 20))
    #expect(result.stoppedBecause == .pluginFailed)
    #expect(!result.text.isEmpty)
    #expect(result.failure?.contains("the second thoughts did not come") == true)
  }

  @Test func aFailureWithoutAnAnswerIsAnError() async throws {
    let plugin = try FixturePlugin("fails_early")
    let (session, engine) = try makeSession(endless, plugins: plugin.host)
    let wanted = try request("abc", plugin.id)
    let error = await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    #expect(error?.code == .plugin)
    #expect(error?.message.contains("the moon is in the wrong phase") == true)
    #expect(engine.pagesInUse == 0)
  }

  @Test func aHungStrategyIsGivenUpAfterItsDeadline() async throws {
    let plugin = try FixturePlugin("hang")
    let (session, engine) = try makeSession(
      endless, plugins: plugin.host, grace: .milliseconds(100))
    let result = try await session.run(
      request("abc", plugin.id, budget: Budget(seconds: 0.05)))
    #expect(result.stoppedBecause == .pluginHung)
    #expect(engine.pagesInUse == 0)
  }

  @Test func aStrategyThatIgnoresItsBudgetStaysWithinIt() async throws {
    let plugin = try FixturePlugin("over_budget")
    let (session, engine) = try makeSession(
      endless, plugins: plugin.host, grace: .milliseconds(100))
    let result = try await session.run(request("abc", plugin.id, budget: Budget(tokens: 9)))
    #expect(result.stoppedBecause == .pluginHung)
    #expect(result.usage.generatedTokens == 9)
    // Its thread may be inside a call that began before it was given up.
    for _ in 0..<1000 where engine.pagesInUse > 0 { try await Task.sleep(for: .milliseconds(2)) }
    #expect(engine.pagesInUse == 0)
  }

  // MARK: Checks in processes of their own

  private var probe: String {
    URL(fileURLWithPath: PluginSearchPath.currentExecutable).deletingLastPathComponent()
      .appendingPathComponent("PluginProbe").path
  }

  private func checkAll(_ path: String) async -> [PluginChecker.Report] {
    let probe = probe
    return await checker.runAll(path: path, timeout: .seconds(60)) { (probe, [path, $0.rawValue]) }
  }

  private func check(
    _ plugin: FixturePlugin, _ name: PluginChecker.Case
  ) async throws -> PluginChecker.Report {
    let (probe, path) = (probe, plugin.manifestPath)
    // Only a real hang shall run into the limit, however busy the machine is.
    return await checker.run(
      name, timeout: .seconds(plugin.id == "hang" ? 3 : 60),
      spawn: { (probe, [path, $0.rawValue]) })
  }

  /// Only starts processes here; its backend is never made.
  private var checker: PluginChecker {
    PluginChecker(prompt: "?") { _ in SimulatedBackend(world: endless) }
  }
}
