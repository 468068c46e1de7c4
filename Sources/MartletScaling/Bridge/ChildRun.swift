import CMartlet
import Foundation
import MartletEngine

/// A strategy's run inside another's, on the same thread: it sees the same prompt and judge, has a
/// root and a ledger of its own, and leaves its candidates to the other.
struct ChildRun {
  /// Strategies within strategies are a plan; more of them are a mistake.
  private static let mostDepth = 8

  private let parent: PluginRun
  private let run: PluginRun
  private let scope: ComponentScope
  /// Nil for a strategy that is part of the host.
  private let component: LoadedComponent?

  /// What it left with the parent.
  struct Ending {
    let firstCandidate: Int
    let candidateCount: Int
    /// Index among the parent's candidates.
    let answer: Int?
    /// The branch that holds the answer's text.
    let branch: Branch?
    /// How many tokens were sampled.
    let tokens: Int
  }

  /// - Parameters:
  ///   - options: as `name=value`.
  ///   - from: the branch that it continues; nil for the parent's root.
  init(
    of parent: PluginRun, strategy: String, options: [String], budget: Budget, from branch: Branch?
  ) throws(HostFailure) {
    self.parent = parent
    guard parent.depth < Self.mostDepth else {
      throw HostFailure(
        MARTLET_E_STATE, "strategies run inside one another at most \(Self.mostDepth) deep")
    }
    guard parent.engineRun.isIdle else {
      throw HostFailure(
        MARTLET_E_STATE, "branches are submitted; wait for them or cancel them before a child runs")
    }
    let surroundings = parent.surroundings
    let (found, resolved, ledger) = try asArgument { () throws(ScalingError) in
      var request = RunRequest(prompt: "")
      try request.set(options)
      let found = try surroundings.plugins.component(.strategy, strategy)
      return (
        found,
        try ResolvedOptions(
          found.manifest, set: request.options, suiting: surroundings.suitableOptions),
        try parent.ledger.child(budget)
      )
    }
    component =
      found.plugin == nil
      ? nil : try asArgument { () throws(ScalingError) in try surroundings.plugins.load(found) }
    guard let source = branch ?? parent.root else {
      throw HostFailure(MARTLET_E_STATE, "a scorer runs no strategies")
    }
    let root = try engineCall { () throws(EngineError) in try source.fork(1)[0] }
    run = PluginRun(
      engineRun: parent.engineRun, root: root, prompt: parent.prompt, ledger: ledger,
      judge: parent.judge, trace: parent.trace, kvBytesLimit: parent.kvBytesLimit,
      surroundings: surroundings.silent, depth: parent.depth + 1,
      abandonment: parent.abandonment, payer: parent.payer, onEnd: parent.noteEnd)
    scope = ComponentScope(
      run: run, kind: .strategy, id: found.manifest.id, options: resolved,
      logger: surroundings.logger)
  }

  /// Runs it to its end.
  /// - Throws: the run's own end, or `PLUGIN` for a failure that is the child's. What it recorded
  ///   until then is the parent's either way.
  func end() throws(HostFailure) -> Ending {
    let engineRun = parent.engineRun
    engineRun.gate = run.ledger
    parent.payer.current = run.ledger
    let before = engineRun.statistics.generatedTokens
    parent.trace?.note("child", by: "martlet", ["strategy": .text(scope.id)])
    run.claimThread()
    let failure = component.map(callPlugin) ?? callBuiltIn()
    run.cancelSubmitted()
    if let error = run.engineFailure { parent.noteEngine(error) }
    if run.reachedKVCeiling { parent.noteKVCeiling() }
    engineRun.gate = parent.ledger
    parent.payer.current = parent.ledger

    let candidates = run.candidates
    let own = run.answer ?? (run.hasAbstained ? nil : StrategyExecution.best(of: candidates))
    let first = parent.adopt(candidates)
    let branch = own.flatMap(run.takeKept)
    run.close()
    if let failure, !hasEndedItself {
      branch?.release()
      throw failure
    }
    return Ending(
      firstCandidate: first, candidateCount: candidates.count, answer: own.map { first + $0 },
      branch: branch, tokens: engineRun.statistics.generatedTokens - before)
  }

  /// Whether the child's part of the budget ended and the run's did not: no failure of anybody's.
  private var hasEndedItself: Bool {
    run.ledger.ended != nil && run.ledger.runEnded == nil && !parent.engineRun.isCancelled
      && !parent.ledger.notesDeadline()
  }

  private func callPlugin(_ component: LoadedComponent) -> HostFailure? {
    switch StrategyExecution.callPlugin(component, scope) {
    case .hung: return nil
    case .returned(let status, let message):
      let status = martlet_status(rawValue: status)
      if status == MARTLET_OK { return nil }
      let isEnd = status == MARTLET_E_BUDGET || status == MARTLET_E_CANCELLED
      return HostFailure(isEnd ? status : MARTLET_E_PLUGIN, message)
    }
  }

  /// `greedy` or `sample`: the root from beginning to end.
  private func callBuiltIn() -> HostFailure? {
    var advance = Advance()
    if scope.id == BuiltInStrategy.greedy.rawValue {
      var sampling = run.engineRun.sampling
      sampling.temperature = 0
      advance.sampling = sampling
    }
    let root = run.root!
    do throws(HostFailure) {
      try run.translatingEnd { () throws(EngineError) in
        try run.engineRun.advanceBlocking([root], advance)
      }
      let index = try run.addCandidate(root)
      try run.setAnswer(UInt32(index))
      return root.stop == .budget ? run.spentBudget() : nil
    } catch {
      return error
    }
  }
}

/// Turns what is wrong with a request into the plugin's mistake.
private func asArgument<Value>(
  _ body: () throws(ScalingError) -> Value
) throws(HostFailure) -> Value {
  do throws(ScalingError) {
    return try body()
  } catch {
    throw HostFailure(
      error.code == .notFound || error.code == .refused ? MARTLET_E_NOT_FOUND : MARTLET_E_ARGUMENT,
      error.message)
  }
}

extension PluginRun.Surroundings {
  /// The same with nobody listening to answers: a child's are not the run's.
  fileprivate var silent: Self {
    Self(
      plugins: plugins, model: model, suitableOptions: suitableOptions, logger: logger,
      onAnswer: nil, memory: memory)
  }
}
