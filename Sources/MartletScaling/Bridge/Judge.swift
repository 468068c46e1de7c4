import CMartlet
import Logging
import MartletEngine
import Synchronization

/// A component that a run may use, loaded, with the options it was given.
struct ChosenComponent: Sendable {
  let component: LoadedComponent
  let options: ResolvedOptions
}

/// The scorer and the extractor of one run.
///
/// Of several scorers the first that can judge the prompt is used: the strategy's defaults are such
/// a list, a scorer that the user names is a list of one.
final class Judge: Sendable {
  private let scorers: [ChosenComponent]
  private let extractor: ChosenComponent?
  /// Judges when no scorer of the list can; the conformance checker gives one.
  private let fallback: (@Sendable (JudgedText) -> Double)?
  private let logger: Logger
  private let state = Mutex(State())

  private struct State {
    /// Index of the scorer in use, and whether it has judged anything yet.
    var current = 0
    var isSettled = false
    var scorer: ScorerInstance?
    var extractor: ExtractorInstance?
    /// Those that a strategy asked for by name.
    var others: [String: ScorerInstance] = [:]
    /// Whether a strategy's thread may be inside one of them, and whether the run is over.
    var isEntered = false
    var isOver = false
  }

  init(
    scorers: [ChosenComponent], extractor: ChosenComponent?,
    fallback: (@Sendable (JudgedText) -> Double)? = nil, logger: Logger
  ) {
    self.scorers = scorers
    self.extractor = extractor
    self.fallback = fallback
    self.logger = logger
  }

  /// The scorer that judged; nil before any did.
  var scorerID: String? { state.withLock { $0.isSettled ? $0.scorer?.id : nil } }

  /// The score of a text.
  /// - Throws: `NOT_FOUND` without a scorer, else what the scorer returns.
  func score(_ text: JudgedText, run: PluginRun?) throws(HostFailure) -> Double {
    while true {
      if fallback != nil, state.withLock({ $0.current >= scorers.count }) {
        return try ownScore(text, run)
      }
      let (scorer, isSettled) = try currentScorer(run)
      do throws(HostFailure) {
        let score = try scorer.score(text)
        state.withLock { $0.isSettled = true }
        return score
      } catch  where error.status == MARTLET_E_UNSUPPORTED && !isSettled && passOver(scorer) {
        continue
      }
    }
  }

  /// The scores of branches.
  /// - Throws: as ``score(_:run:)``.
  func score(_ branches: [Branch], run: PluginRun) throws(HostFailure) -> [Double] {
    while true {
      if fallback != nil, state.withLock({ $0.current >= scorers.count }) {
        var scores: [Double] = []
        for branch in branches { scores.append(try ownScore(run.judged(branch), run)) }
        return scores
      }
      let (scorer, isSettled) = try currentScorer(run)
      do throws(HostFailure) {
        let scores = try scorer.score(branches, of: run)
        state.withLock { $0.isSettled = true }
        return scores
      } catch  where error.status == MARTLET_E_UNSUPPORTED && !isSettled && passOver(scorer) {
        continue
      }
    }
  }

  /// The scores of branches by the scorer of that id, with its default options.
  func score(
    _ branches: [Branch], by id: String, run: PluginRun
  ) throws(HostFailure) -> [Double] {
    if let known = state.withLock({ $0.others[id] }) {
      return try known.score(branches, of: run)
    }
    let chosen: ChosenComponent
    do throws(ScalingError) {
      chosen = try run.surroundings.plugins.choose(
        .scorer, id, options: [:], suiting: run.surroundings.suitableOptions)
    } catch {
      throw HostFailure(MARTLET_E_NOT_FOUND, error.message)
    }
    let scorer = try ScorerInstance(
      chosen.component, options: chosen.options, run: run, logger: logger)
    state.withLock { $0.others[id] = scorer }
    return try scorer.score(branches, of: run)
  }

  /// Whether there is a scorer to ask.
  var hasScorer: Bool { !scorers.isEmpty || fallback != nil }

  /// The answer in a text; nil when there is none, or no extractor.
  func extract(_ text: JudgedText, run: PluginRun?) throws(HostFailure) -> String? {
    guard let extractor else { return nil }
    let instance: ExtractorInstance
    if let known = state.withLock({ $0.extractor }) {
      instance = known
    } else {
      instance = try ExtractorInstance(
        extractor.component, options: extractor.options, run: run, logger: logger)
      state.withLock { $0.extractor = instance }
    }
    return try instance.extract(text)
  }

  var hasExtractor: Bool { extractor != nil }

  /// The extractor in use.
  var extractorID: String? { extractor?.component.id }

  /// A strategy's thread may be inside an instance from now on, until it says that it left.
  func enter() { state.withLock { $0.isEntered = true } }

  /// The strategy's thread has left, and ends what nobody else will if it was given up meanwhile.
  func leave() {
    let isLast = state.withLock { state in
      state.isEntered = false
      return state.isOver
    }
    if isLast { endInstances() }
  }

  /// Ends the instances, at the latest when the strategy's thread leaves them. Called once, after the
  /// last use.
  func end() {
    let isFree = state.withLock { state in
      state.isOver = true
      return !state.isEntered
    }
    if isFree { endInstances() }
  }

  private func endInstances() {
    let (scorer, extractor, others) = state.withLock { state in
      defer { (state.scorer, state.extractor, state.others) = (nil, nil, [:]) }
      return (state.scorer, state.extractor, state.others.values)
    }
    for other in others { other.end() }
    scorer?.end()
    extractor?.end()
  }

  /// The score by the caller's own judge.
  private func ownScore(_ text: JudgedText, _ run: PluginRun?) throws(HostFailure) -> Double {
    let score = fallback!(text)
    if score.isFinite { return score }
    if run?.engineRun.engine.backend is ReplayBackend {
      run?.noteEngine(
        EngineError(.unrecorded, "the recorded judge never saw '\(text.text.suffix(60))'"))
    }
    throw HostFailure(MARTLET_E_PLUGIN, "the judge of this run gave the score \(score)")
  }

  private func currentScorer(
    _ run: PluginRun?
  ) throws(HostFailure) -> (ScorerInstance, isSettled: Bool) {
    let known = state.withLock { ($0.scorer, $0.isSettled, $0.current) }
    if let scorer = known.0 { return (scorer, known.1) }
    guard scorers.indices.contains(known.2) else {
      throw HostFailure(MARTLET_E_NOT_FOUND, "the run has no scorer; name one with --scorer")
    }
    let chosen = scorers[known.2]
    let scorer = try ScorerInstance(
      chosen.component, options: chosen.options, run: run, logger: logger)
    state.withLock { $0.scorer = scorer }
    return (scorer, false)
  }

  /// Goes on to the next scorer of the list; false when there is nothing to go on to.
  private func passOver(_ scorer: ScorerInstance) -> Bool {
    let next = state.withLock { $0.current + 1 }
    guard next < scorers.count || fallback != nil else { return false }
    state.withLock { state in
      state.current += 1
      state.scorer = nil
    }
    scorer.end()
    return true
  }
}
