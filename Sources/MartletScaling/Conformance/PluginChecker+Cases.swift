import CMartlet
import Foundation
import Logging
import MartletEngine

/// The cases themselves. Each returns what it found, or throws what went wrong.
extension PluginChecker {
  private static let maxTokens = 24

  func check(_ name: Case, path: String) async throws(CaseFailure) -> String {
    let subject = try CheckedPlugin(path: path)
    try requireDeclared(subject.manifest)
    switch name {
    case .manifest: return "plugin '\(subject.manifest.id)' \(subject.manifest.version)"
    case .load: return try load(subject)
    case .lifecycle: return try await lifecycle(subject)
    case .determinism: return try await determinism(subject)
    case .budget: return try await budget(subject, tokens: 37)
    case .smallestBudget: return try await budget(subject, tokens: 1)
    case .cancellation: return try await cancellation(subject)
    case .deadline: return try await deadline(subject)
    case .options: return try await options(subject)
    case .pages: return try await pages(subject)
    case .handles: return try await handles(subject)
    case .totalBudget: return try await totalBudget(subject)
    case .fewPages: return try await fewPages(subject)
    case .texts: return try await texts(subject)
    case .rules: return try await rules(subject)
    case .latency: return try await latency(subject)
    case .branches: return try scoredBranches(subject)
    case .rows: return try rows(subject)
    case .notes: return try notes(subject)
    case .isolation: return try await isolation(subject)
    case .resampling: return try await resampling(subject)
    }
  }

  private func requireDeclared(_ manifest: PluginManifest) throws(CaseFailure) {
    for (name, value) in options.sorted(by: { $0.key < $1.key }) {
      let declarations = manifest.components.flatMap(\.options).filter { $0.name == name }
      if declarations.isEmpty {
        throw CaseFailure("no component of plugin '\(manifest.id)' has an option '\(name)'")
      }
      for problem in declarations.compactMap({ $0.problem(with: value) }) {
        throw CaseFailure("option '\(name)' \(problem), not '\(value)'")
      }
    }
  }

  /// The options to give a component: those of the check that it declares, and others before them.
  func options(
    for component: ComponentManifest, _ tried: [String: String]
  ) -> [String: String] {
    options.filter { name, _ in component.options.contains { $0.name == name } }
      .merging(tried) { $1 }
  }

  private func load(_ subject: CheckedPlugin) throws(CaseFailure) -> String {
    let host = try subject.host()
    for component in try subject.components(host) {
      do throws(ScalingError) { _ = try host.load(component) } catch {
        throw CaseFailure(error.message)
      }
    }
    return subject.countedComponents
  }

  private func lifecycle(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    for component in try subject.components(host) { try await use(component, host) }
    return subject.countedComponents
  }

  /// Makes, uses and destroys a component, with options that differ from their defaults.
  func use(
    _ component: InstalledComponent, _ host: PluginHost, _ options: [String: String] = [:]
  ) async throws(CaseFailure) {
    let id = component.manifest.id
    let options = self.options(for: component.manifest, options)
    switch component.manifest.kind {
    case .strategy:
      let result = try await run(id, host) { $0.options = options }
      guard [.finished, .length, .abstained].contains(result.stoppedBecause) else {
        throw CaseFailure("strategy '\(id)' stopped because of \(result.stoppedBecause.rawValue)")
      }
    case .scorer, .extractor: try judge(component, host, options)
    case .drafter: try draft(component, host, options)
    case .sampler: try changeRows(component, host, options)
    case .memory: try keepNotes(component, host, options)
    }
  }

  /// Uses a scorer or an extractor; one that does not support the sample passes.
  private func judge(
    _ component: InstalledComponent, _ host: PluginHost, _ options: [String: String]
  ) throws(CaseFailure) {
    let sample = JudgedText(
      prompt: "make 46 from 3 7 25?", text: " 3*7=21 21+25=46 #", logprobs: [-0.5, -0.25])
    let isStable: Bool
    do throws(ScalingError) {
      let chosen = try host.choose(
        component.manifest.kind, component.manifest.id, options: options)
      do throws(HostFailure) {
        isStable =
          try component.manifest.kind == .scorer
          ? scoresAlike(chosen, sample) : extractsAlike(chosen, sample)
      } catch {
        if error.status == MARTLET_E_UNSUPPORTED { return }
        throw ScalingError(.plugin, error.message)
      }
    } catch {
      throw CaseFailure(error.message)
    }
    if !isStable {
      throw CaseFailure("'\(component.manifest.id)' judges one text in two ways")
    }
  }

  /// Has a drafter guess on texts of several lengths, which it must do without a failure.
  private func draft(
    _ component: InstalledComponent, _ host: PluginHost, _ options: [String: String]
  ) throws(CaseFailure) {
    do throws(ScalingError) {
      let drafter = try PluginDrafter(
        component.manifest.id, options: options, plugins: host)
      for length in [1, 2, 7, 64] {
        let tokens = (0..<length).map { Int32($0 % 5) }
        do throws(EngineError) {
          _ = try drafter.guesses(after: [(1, tokens, 4), (2, tokens.reversed(), 1)], most: 8)
        } catch {
          throw ScalingError(.plugin, error.message)
        }
      }
    } catch {
      throw CaseFailure(error.message)
    }
  }

  private func scoresAlike(
    _ chosen: ChosenComponent, _ sample: JudgedText
  ) throws(HostFailure) -> Bool {
    let scorer = try ScorerInstance(
      chosen.component, options: chosen.options, run: nil, logger: Self.logger)
    defer { scorer.end() }
    return try scorer.score(sample) == scorer.score(sample)
  }

  private func extractsAlike(
    _ chosen: ChosenComponent, _ sample: JudgedText
  ) throws(HostFailure) -> Bool {
    let extractor = try ExtractorInstance(
      chosen.component, options: chosen.options, run: nil, logger: Self.logger)
    defer { extractor.end() }
    return try extractor.extract(sample) == extractor.extract(sample)
  }

  private func determinism(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    for id in try subject.strategies(host) {
      let first = try await run(id, host)
      let second = try await run(id, host)
      if first.withoutTiming != second.withoutTiming {
        throw CaseFailure(
          "strategy '\(id)' gave '\(first.answer)' and then '\(second.answer)' under one seed, "
            + "or used different amounts: \(first.usage) and \(second.usage)")
      }
    }
    return subject.ranStrategies
  }

  private func budget(
    _ subject: CheckedPlugin, tokens: Int
  ) async throws(CaseFailure) -> String {
    let host = try subject.host()
    for id in try subject.strategies(host) {
      let result = try await run(id, host) { $0.budget.tokens = tokens }
      if result.usage.generatedTokens > tokens {
        throw CaseFailure(
          "strategy '\(id)' generated \(result.usage.generatedTokens) tokens of \(tokens)")
      }
      if result.stoppedBecause == .pluginFailed {
        throw CaseFailure(
          "strategy '\(id)' failed on a budget of \(tokens) tokens: \(result.failure ?? "")")
      }
    }
    return subject.ranStrategies
  }

  private func cancellation(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    var most = 0
    for id in try subject.strategies(host) {
      let engine = try makeEngine(secondsPerForward: 0.01)
      defer { engine.shutdown() }
      let work = Task { () async -> Result<RunResult, CaseFailure> in
        do throws(CaseFailure) {
          return .success(try await run(id, host, on: engine) { $0.stops.maxTokens = 100_000 })
        } catch {
          return .failure(error)
        }
      }
      try? await Task.sleep(for: .milliseconds(150))
      work.cancel()
      let then = engine.statistics
      switch await work.value {
      case .success: break
      case .failure(let failure) where failure.isCancellation: break
      case .failure(let failure): throw failure
      }
      // The pass under way ends; what it draws is nobody's.
      let now = engine.statistics
      if now.forwards > then.forwards + 1 {
        throw CaseFailure(
          "strategy '\(id)' had \(now.forwards - then.forwards) passes after it was cancelled")
      }
      most = max(most, now.sampledTokens - then.sampledTokens)
    }
    return "\(subject.ranStrategies), \(most) tokens after it at most"
  }

  private func deadline(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    for id in try subject.strategies(host) {
      let result = try await run(id, host, secondsPerForward: 0.01) {
        $0.stops.maxTokens = 100_000
        $0.budget.seconds = 0.15
      }
      if result.stoppedBecause == .pluginFailed {
        throw CaseFailure(
          "strategy '\(id)' failed at its deadline: \(result.failure ?? "")")
      }
    }
    return subject.ranStrategies
  }

  private func options(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    var tried = 0
    for id in try subject.strategies(host) {
      let declared = subject.manifest.components.first { $0.kind == .strategy && $0.id == id }
      for option in declared?.options ?? [] {
        for value in option.limits {
          tried += 1
          _ = try await run(id, host) {
            $0.options[option.name] = value
            $0.stops.maxTokens = 6
          }
        }
      }
    }
    for component in try subject.components(host) where component.manifest.kind != .strategy {
      for option in component.manifest.options {
        for value in option.limits {
          tried += 1
          do throws(CaseFailure) {
            try await use(component, host, [option.name: value])
          } catch {
            throw CaseFailure("with \(option.name)=\(value): \(error.message)")
          }
        }
      }
    }
    return "\(tried) values"
  }

  private func pages(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    for id in try subject.strategies(host) {
      let engine = try makeEngine(secondsPerForward: 0)
      defer { engine.shutdown() }
      _ = try await run(id, host, on: engine) { _ in }
      if engine.pagesInUse != 0 {
        throw CaseFailure("strategy '\(id)' left \(engine.pagesInUse) pages behind")
      }
    }
    return subject.ranStrategies
  }

  private func handles(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    for id in try subject.strategies(host) { _ = try await run(id, host) }
    // A thread that outlives its run shows itself soon after.
    try? await Task.sleep(for: .milliseconds(300))
    if let first = Misuse.noted.first {
      throw CaseFailure("\(Misuse.noted.count) calls broke the rules; the first: \(first)")
    }
    return subject.ranStrategies
  }

  // MARK: Runs

  static let logger = Logger(label: "martlet.check")
  /// Of the simulated model, so that operations can be counted.
  static let parameters = 1

  func makeEngine(secondsPerForward: Double) throws(CaseFailure) -> Engine {
    do throws(EngineError) {
      return try Engine(backend: makeBackend(secondsPerForward))
    } catch {
      throw CaseFailure("the simulated engine does not start: \(error.message)")
    }
  }

  func run(
    _ strategy: String, _ host: PluginHost, secondsPerForward: Double = 0,
    _ configure: @Sendable (inout RunRequest) -> Void = { _ in }
  ) async throws(CaseFailure) -> RunResult {
    let engine = try makeEngine(secondsPerForward: secondsPerForward)
    defer { engine.shutdown() }
    return try await run(strategy, host, on: engine, configure)
  }

  func run(
    _ strategy: String, _ host: PluginHost, on engine: Engine,
    _ configure: @Sendable (inout RunRequest) -> Void
  ) async throws(CaseFailure) -> RunResult {
    let session = ScalingSession(
      engine: engine, plugins: host, model: "simulation",
      defaults: ModelDefaults(options: options),
      surroundings: ModelSurroundings(parameters: Self.parameters), kvBytesLimit: nil, grace: grace,
      logger: Self.logger,
      fallbackScorer: { text in Double(text.logprobs.reduce(0, +)) })
    var request = RunRequest(prompt: prompt, strategy: strategy)
    request.seed = seed
    request.stops.maxTokens = Self.maxTokens
    configure(&request)
    do throws(ScalingError) {
      let result = try await session.run(request)
      if result.stoppedBecause == .pluginHung {
        throw ScalingError(.plugin, "hang: \(result.failure ?? "")")
      }
      return result
    } catch {
      throw CaseFailure(error.message, isCancellation: error.code == .cancelled)
    }
  }
}

extension OptionDeclaration {
  /// Values at the edges of what is allowed, within reason: a plugin may be asked for 16 branches
  /// by a check, not for its maximum of thousands.
  fileprivate var limits: [String] {
    switch type {
    case .integer:
      let low = minimum ?? Double(defaultValue) ?? 0
      let high = min(maximum ?? low + 16, max(low, 16))
      return Array(Set([low, high])).sorted().map { String(Int64($0)) }
    case .number: return [minimum, maximum].compactMap { $0 }.map { "\($0)" }
    case .text: return []
    case .flag: return ["true", "false"]
    case .choice: return choices
    }
  }
}
