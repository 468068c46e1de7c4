import CMartlet
import Foundation
public import Logging
public import MartletEngine
import Synchronization

/// Runs prompts under strategies: one engine, the plugins found, and what suits the model.
///
/// Any number of runs may be in progress at once; the engine decodes them together.
public final class ScalingSession: Sendable {
  /// The engine that decodes.
  public let engine: Engine
  /// Where strategies, scorers and extractors come from.
  public let plugins: PluginHost
  /// The model's name, for results.
  public let model: String
  /// Components that suit the model.
  public let defaults: ModelDefaults

  /// What the model is besides its engine.
  public let surroundings: ModelSurroundings

  private let kvBytesLimit: Int?
  private let grace: Duration
  private let logger: Logger
  /// Judges where no scorer can; the conformance checker sets it.
  private let fallbackScorer: (@Sendable (JudgedText) -> Double)?

  /// A session on an engine.
  /// - Parameters:
  ///   - kvBytesLimit: the engine's ceiling, so that strategies can ask what is left of it.
  ///   - grace: how long a strategy may go on after its run ended before it is given up.
  public convenience init(
    engine: Engine, plugins: PluginHost, model: String, defaults: ModelDefaults = ModelDefaults(),
    surroundings: ModelSurroundings = ModelSurroundings(), kvBytesLimit: Int? = nil,
    grace: Duration = .seconds(10), logger: Logger = Logger(label: "martlet.run")
  ) {
    self.init(
      engine: engine, plugins: plugins, model: model, defaults: defaults,
      surroundings: surroundings, kvBytesLimit: kvBytesLimit, grace: grace, logger: logger,
      fallbackScorer: nil)
  }

  init(
    engine: Engine, plugins: PluginHost, model: String, defaults: ModelDefaults,
    surroundings: ModelSurroundings = ModelSurroundings(), kvBytesLimit: Int?, grace: Duration,
    logger: Logger,
    fallbackScorer: (@Sendable (JudgedText) -> Double)?
  ) {
    self.engine = engine
    self.plugins = plugins
    self.model = model
    self.defaults = defaults
    self.surroundings = surroundings
    self.kvBytesLimit = kvBytesLimit
    self.grace = grace
    self.logger = logger
    self.fallbackScorer = fallbackScorer
  }

  /// Runs a prompt and returns the answer with everything that was considered and used.
  ///
  /// A budget that ends, a cancelled task and a strategy that fails after it has generated something
  /// give a result too: the best so far, with ``RunResult/stoppedBecause`` saying why.
  ///
  /// - Parameters:
  ///   - trace: records the run.
  ///   - onText: receives the answer's text: as it is generated under a strategy of one branch, else
  ///     whole, once it is chosen.
  ///   - onAnswer: receives each answer that a strategy names on the way, and whether it is committed
  ///     or may still give way to another. Called on the strategy's thread.
  /// - Throws: `notFound` or `refused` for a component, `option`, `budget`, `engine` for a prompt
  ///   that does not fit, a model that fails and memory that is refused, `plugin` or `cancelled`
  ///   when there is nothing to return.
  public func run(
    _ request: RunRequest, trace: TraceRecorder? = nil,
    onText: (@Sendable (String) -> Void)? = nil,
    onAnswer: (@Sendable (RunResult.Candidate, _ isCommitted: Bool) -> Void)? = nil
  ) async throws(ScalingError) -> RunResult {
    let clock = ContinuousClock()
    let start = clock.now
    let ledger = try BudgetLedger(request.budget, flopsPerToken: surroundings.flopsPerToken)
    let strategy = try plugins.component(.strategy, request.strategy)
    let options = try ResolvedOptions(
      strategy.manifest, set: request.options, suiting: defaults.options)
    let judge = try judge(for: request, strategy: strategy.manifest)
    defer { judge.end() }
    let engineRun = try makeEngineRun(request, ledger: ledger, trace: trace)

    let ending: RunEnding
    if strategy.plugin == nil {
      let single = SingleBranchRun(
        engineRun: engineRun, prompt: request.prompt, ledger: ledger, judge: judge,
        mustScore: request.scorer != nil)
      ending = try await single.run(onText: onText)
    } else {
      let outcome = OneShot<StrategyExecution.Outcome>()
      let pluginRun = PluginRun(
        engineRun: engineRun, root: engineRun.root, prompt: request.prompt, ledger: ledger,
        judge: judge, trace: trace, kvBytesLimit: kvBytesLimit,
        surroundings: .init(
          plugins: plugins, model: surroundings, suitableOptions: defaults.options, logger: logger,
          onAnswer: onAnswer),
        onEnd: { [grace] in
          Task.detached {
            try? await Task.sleep(for: grace)
            outcome.send(.hung)
          }
        })
      let component = try plugins.load(strategy)
      let scope = ComponentScope(
        run: pluginRun, kind: .strategy, id: component.id, options: options, logger: logger)
      ending = try await StrategyExecution(
        component: component, scope: scope, run: pluginRun, outcome: outcome
      ).ending()
      if let winner = ending.answer { onText?(ending.candidates[winner].text) }
    }

    let seconds = start.duration(to: clock.now) / .seconds(1)
    let result = ending.result(
      request, model: model, judge: judge, statistics: engineRun.statistics,
      scoredTokens: ledger.used.scored, notes: [engineRun.draftingNote].compactMap(\.self),
      seconds: seconds)
    trace?.note("result", by: "martlet", ["stopped_because": .text(result.stoppedBecause.rawValue)])
    return result
  }

  private func makeEngineRun(
    _ request: RunRequest, ledger: BudgetLedger, trace: TraceRecorder?
  ) throws(ScalingError) -> Run {
    var sampling = request.sampling
    if request.strategy == BuiltInStrategy.greedy.rawValue { sampling.temperature = 0 }
    let tokens = engine.tokenizer.encode(
      request.renderedPrompt ?? request.prompt, addSpecial: request.addSpecial,
      parseSpecial: request.parseSpecial)
    var guidance = request.guidance
    if case .text(let text) = guidance?.reference {
      let other = engine.tokenizer.encode(
        text, addSpecial: request.addSpecial, parseSpecial: request.parseSpecial)
      guidance?.reference = .prompt(other.isEmpty ? tokens.suffix(1) : other)
    }
    do throws(EngineError) {
      let run = try engine.makeRun(
        prompt: tokens, seed: request.seed, sampling: sampling, stops: request.stops,
        constraint: request.constraint, drafting: request.drafting, guidance: guidance,
        recorder: trace)
      guard ledger.reservePrompt(tokens.count) else {
        throw EngineError(
          .budget,
          "the prompt alone has \(tokens.count) tokens, more than the budget allows; raise it")
      }
      run.gate = ledger
      run.kvBytesLimit = request.budget.kvBytes
      return run
    } catch {
      throw ScalingError(error)
    }
  }

  /// The scorers and the extractor of a run: what the user named, else the defaults that exist.
  private func judge(
    for request: RunRequest, strategy: ComponentManifest
  ) throws(ScalingError) -> Judge {
    var scorers: [ChosenComponent] = []
    if request.judge != nil {
      guard request.scorer == nil else {
        throw ScalingError(
          .argument, "a request has its own judge or names a scorer; leave one of them out")
      }
    } else if let named = request.scorer {
      scorers = [try choose(.scorer, named, request.scorerOptions)]
    } else {
      for id in defaults.scorers + strategy.defaultScorers {
        do throws(ScalingError) {
          scorers.append(try choose(.scorer, id, request.scorerOptions))
        } catch  where error.code != .option {
          logger.debug("default scorer '\(id)' is not used: \(error.message)")
        }
      }
    }
    var extractor: ChosenComponent?
    if let named = request.extractor {
      extractor = try choose(.extractor, named, request.extractorOptions)
    } else if let id = defaults.extractor ?? strategy.defaultExtractor {
      do throws(ScalingError) {
        extractor = try choose(.extractor, id, request.extractorOptions)
      } catch  where error.code != .option {
        logger.debug("default extractor '\(id)' is not used: \(error.message)")
      }
    }
    return Judge(
      scorers: scorers, extractor: extractor, fallback: request.judge ?? fallbackScorer,
      logger: logger)
  }

  private func choose(
    _ kind: ComponentKind, _ id: String, _ options: [String: String]
  ) throws(ScalingError) -> ChosenComponent {
    try plugins.choose(kind, id, options: options, suiting: defaults.options)
  }
}
